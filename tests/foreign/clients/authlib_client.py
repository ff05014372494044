"""Authlib against oauth-mock: `python authlib_client.py ISSUER CONTROL`, with the server started on mock.toml.

Prints `ok ITEM` or `FAILED ITEM: why` for each item, and exits with 1 if one failed. What Authlib has nothing for is done
with its general requests, and with joserfc, its own library for keys and signatures.
"""

import base64
import hashlib
import html
import json
import os
import re
import sys
import time
import traceback
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri
from authlib.integrations.base_client import OAuthError
from authlib.integrations.base_client.sync_app import BaseApp, OAuth2Mixin
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import get_well_known_url
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ISSUER, CONTROL = sys.argv[1:]
CALLBACK = "http://127.0.0.1:8080/callback"
GOODBYE = "http://127.0.0.1:8080/goodbye"
GRANT = "urn:ietf:params:oauth:grant-type:"
TOKEN = "urn:ietf:params:oauth:token-type:"
METADATA = requests.get(f"{ISSUER}/.well-known/openid-configuration").json()


class App(OAuth2Mixin, OpenIDMixin, BaseApp):
    """What Authlib gives to every web framework, with none around it."""

    client_cls = OAuth2Session


def web(scope="openid read"):
    return App(
        framework=None,
        client_id="web",
        client_secret="s3cr3t-web",
        server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
        client_kwargs={"scope": scope, "code_challenge_method": "S256"},
    )


def session(client_id, secret=None, **options):
    return OAuth2Session(client_id, secret, token_endpoint=METADATA["token_endpoint"], **options)


def service(**options):
    return session("service", "s3cr3t", **options)


def controlled(method, path, body=None):
    response = requests.request(method, CONTROL + path, json=body)
    assert response.ok, f"{method} {path}: {response.text}"
    return response.json()


def log_in(url, browser=None):
    """Shows the login page, fills in its form as alice, and returns where she is sent."""
    browser = browser or requests.Session()
    page = browser.get(url)
    assert page.status_code == 200, page.text
    fields = {
        html.unescape(name): html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    }
    assert 'name="username"' in page.text and 'name="password"' in page.text, page.text
    fields |= {"username": "alice", "password": "wonderland", "decision": "allow"}
    response = browser.post(url, data=fields, allow_redirects=False)
    equal(response.status_code, 303)
    return response.headers["Location"]


def signed_in(app=None, browser=None):
    """Authorization code and PKCE; returns the tokens and the claims of the ID token, which Authlib has checked."""
    app = app or web()
    asked = app.create_authorization_url(CALLBACK)
    back = log_in(asked["url"], browser)
    token = app.fetch_access_token(
        CALLBACK, authorization_response=back, state=asked["state"], code_verifier=asked["code_verifier"]
    )
    return token, app.parse_id_token(token, asked["nonce"])


def parameter(url, name):
    return parse_qs(urlsplit(url).query).get(name, [None])[0]


def claims_of(token):
    """The claims of an access token, its signature checked against the published keys."""
    keys = KeySet.import_key_set(requests.get(METADATA["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=METADATA["id_token_signing_alg_values_supported"])
    equal(decoded.header["typ"], "at+jwt")
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": "orders-api"}, exp={"essential": True}
    )
    registry.validate(decoded.claims)
    return decoded.claims


def signing_key():
    key = ECKey.generate_key("P-256", {"kid": "judge", "alg": "ES256", "use": "sig"})
    return key, {"keys": [key.as_dict(private=False)]}


def equal(got, expected):
    assert got == expected, f"{got!r} instead of {expected!r}"


def refused(code, request, *arguments, **options):
    """That the server says no, and how."""
    try:
        got = request(*arguments, **options)
    except OAuthError as error:
        equal(error.error, code)
    else:
        raise AssertionError(f"{got!r} instead of {code}")


def discovery():
    for issuer in (ISSUER, f"{ISSUER}/tenant-a"):
        openid = requests.get(f"{issuer}/.well-known/openid-configuration").json()
        oauth = requests.get(get_well_known_url(issuer, external=True)).json()
        equal(openid, oauth)
        equal(openid["issuer"], issuer)
        # Authlib checks each field by OpenID Connect Discovery and RFC 8414, which know nothing of http.
        OpenIDProviderMetadata(json.loads(json.dumps(openid).replace("http://", "https://"))).validate()
    equal(web().load_server_metadata()["issuer"], ISSUER)


def client_credentials_basic():
    token = service(scope="read").fetch_token()
    equal(token["token_type"], "Bearer")
    assert not token.is_expired() and token["expires_in"] > 200
    claims = claims_of(token["access_token"])
    equal([claims["sub"], claims["client_id"], claims["scope"]], ["service", "service", "read"])
    refused("invalid_client", session("service", "guess").fetch_token)


def client_credentials_post():
    client = session("odd service", "50% + a:b/ü", token_endpoint_auth_method="client_secret_post")
    equal(claims_of(client.fetch_token(scope="read write")["access_token"])["scope"], "read write")
    refused("invalid_scope", client.fetch_token, scope="admin")


def client_credentials_private_key_jwt():
    key, jwks = signing_key()
    controlled("PUT", "/v1/clients/signer", {"jwks": jwks, "grant_types": ["client_credentials"]})

    def signer(key):
        client = session("signer", key, token_endpoint_auth_method="private_key_jwt")
        # Authlib's assertions are good for an hour by default.
        soon = {"exp": int(time.time()) + 60}
        client.register_client_auth_method(PrivateKeyJWT(METADATA["token_endpoint"], soon, alg="ES256"))
        return client

    equal(claims_of(signer(key).fetch_token()["access_token"])["sub"], "signer")
    refused("invalid_client", signer(signing_key()[0]).fetch_token)


def authorization_code_with_pkce():
    app = web()
    token, _ = signed_in(app)
    equal(claims_of(token["access_token"])["sub"], "alice")
    user = app.userinfo(token=token)
    equal([user["sub"], user["email"]], ["alice", "alice@example.com"])
    equal(app.get(f"{ISSUER}/api/orders", token=token).status_code, 200)

    asked = app.create_authorization_url(CALLBACK)
    back = log_in(asked["url"])
    equal(parameter(back, "iss"), ISSUER)  # Authlib has RFC 9207 for servers only
    redeem = {"authorization_response": back, "state": asked["state"]}
    refused("invalid_grant", app.fetch_access_token, CALLBACK, code_verifier=generate_token(48), **redeem)


def id_token():
    _, claims = signed_in()
    equal([claims["iss"], claims["aud"], claims["sub"]], [ISSUER, "web", "alice"])


def flaws():
    """What the mock spoils on purpose, and what of it this library leaves to its user."""
    passed = []
    for flaw in FLAWS:
        controlled("POST", "/v1/flaws", {"flaw": flaw, "times": 1})
        try:
            app = web()
            token, claims = signed_in(app)
            if claims is not None:
                app.userinfo(token=token)
                passed.append(flaw)
        except Exception as error:
            assert type(error).__module__.startswith(("authlib", "joserfc")), error
        controlled("DELETE", "/v1/flaws")
    equal(passed, LEFT_TO_THE_USER)


# All that a plain login can have, in the order in which the mock lists them.
FLAWS = (
    "iss_wrong iss_missing state_wrong state_missing code_twice code_missing code_with_error id_token_missing "
    "id_token_issuer id_token_audience id_token_second_audience id_token_authorized_party id_token_key "
    "id_token_signature id_token_unsigned id_token_expired id_token_future id_token_nonce id_token_nonce_missing "
    "id_token_hash id_token_subject_missing userinfo_subject"
).split()
LEFT_TO_THE_USER = ["iss_wrong", "iss_missing", "code_with_error", "userinfo_subject"]


def refresh():
    first, _ = signed_in(web("openid offline_access read"))
    renewed = []
    client = session("web", "s3cr3t-web", token=first, update_token=lambda token, **_: renewed.append(token))
    second = client.refresh_token()
    assert second["refresh_token"] != first["refresh_token"]
    equal(claims_of(second["access_token"])["sub"], "alice")
    equal(renewed, [second])
    # RFC 9700 section 4.14.2: one that is used again ends the whole family.
    refused("invalid_grant", client.refresh_token, refresh_token=first["refresh_token"])
    refused("invalid_grant", client.refresh_token, refresh_token=second["refresh_token"])


def device():
    client = session("television")

    def begin():
        # Authlib has RFC 8628 for servers only.
        auth, endpoint = client.client_auth("none"), METADATA["device_authorization_endpoint"]
        response = client.post(endpoint, data={"scope": "openid read"}, auth=auth, withhold_token=True)
        equal(response.status_code, 200)
        return response.json()

    def poll(device):
        return client.fetch_token(grant_type=GRANT + "device_code", device_code=device["device_code"])

    turned_away = begin()
    controlled("POST", "/v1/devices", {"user_code": turned_away["user_code"]})
    refused("access_denied", poll, turned_away)

    waiting = begin()
    refused("authorization_pending", poll, waiting)
    controlled("POST", "/v1/devices", {"user_code": waiting["user_code"], "user": "alice"})
    time.sleep(waiting["interval"])
    claims = claims_of(poll(waiting)["access_token"])
    equal([claims["sub"], claims["client_id"]], ["alice", "television"])
    refused("invalid_grant", poll, waiting)


def introspection():
    client = service(scope="read")
    token = client.fetch_token()["access_token"]
    introspected = client.introspect_token(METADATA["introspection_endpoint"], token=token).json()
    equal([introspected[name] for name in ("active", "client_id", "scope", "iss")], [True, "service", "read", ISSUER])
    guess = client.introspect_token(METADATA["introspection_endpoint"], token="guess").json()
    equal(guess, {"active": False})


def revocation():
    token, _ = signed_in(web("openid offline_access read"))
    client = session("web", "s3cr3t-web", token=token)
    endpoint = METADATA["revocation_endpoint"]
    equal(client.revoke_token(endpoint, token["access_token"], "access_token").status_code, 200)
    introspected = client.introspect_token(METADATA["introspection_endpoint"], token["access_token"])
    equal(introspected.json(), {"active": False})
    equal(client.revoke_token(endpoint, token["refresh_token"]).status_code, 200)
    refused("invalid_grant", client.refresh_token)
    # RFC 7009 section 2.2: not an error.
    equal(client.revoke_token(endpoint, "guess").status_code, 200)


def par():
    client = session("pushed", "s3cr3t-pushed", redirect_uri=CALLBACK, scope="openid read", code_challenge_method="S256")
    # Authlib has nothing for RFC 9126: the parameters of its URL are pushed, by its session.
    verifier = generate_token(48)
    whole, state = client.create_authorization_url(METADATA["authorization_endpoint"], code_verifier=verifier)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(whole).query).items()}

    def push(parameters):
        auth = client.client_auth("client_secret_basic")
        endpoint = METADATA["pushed_authorization_request_endpoint"]
        return client.post(endpoint, data=parameters, auth=auth, withhold_token=True)

    pushed = push(asked)
    equal(pushed.status_code, 201)
    assert pushed.json()["expires_in"] > 0
    parameters = {"client_id": "pushed", "request_uri": pushed.json()["request_uri"]}
    back = log_in(add_params_to_uri(METADATA["authorization_endpoint"], parameters))
    token = client.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
    equal(claims_of(token["access_token"])["client_id"], "pushed")

    elsewhere = push(asked | {"redirect_uri": "http://127.0.0.1:8080/other"})
    equal([elsewhere.status_code, elsewhere.json()["error"]], [400, "invalid_request"])
    direct = requests.get(whole, allow_redirects=False)
    equal(parameter(direct.headers["Location"], "error"), "invalid_request")


class Prover:
    """DPoP (RFC 9449), which Authlib lacks: proofs by joserfc, put on Authlib's requests."""

    def __init__(self):
        self.key = ECKey.generate_key("P-256")
        self.nonces = []

    def remember(self, response):
        """A hook of Authlib's session, and of requests."""
        if "DPoP-Nonce" in response.headers:
            self.nonces.append(response.headers["DPoP-Nonce"])
        return response

    def proof(self, method, url, token=None):
        claims = {"jti": generate_token(20), "htm": method, "htu": url, "iat": int(time.time())}
        if self.nonces:
            claims["nonce"] = self.nonces.pop()
        if token:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(header, claims, self.key)

    def get(self, url, token):
        headers = {"Authorization": f"DPoP {token}", "DPoP": self.proof("GET", url, token)}
        return self.remember(requests.get(url, headers=headers))


def dpop():
    prover = Prover()
    client = session("phone", redirect_uri=CALLBACK, scope="openid read", code_challenge_method="S256")
    client.register_compliance_hook("access_token_response", prover.remember)
    client.register_compliance_hook("refresh_token_response", prover.remember)
    verifier, endpoint = generate_token(48), METADATA["token_endpoint"]
    url, state = client.create_authorization_url(
        METADATA["authorization_endpoint"], code_verifier=verifier, dpop_jkt=prover.key.thumbprint()
    )
    code = {"authorization_response": log_in(url), "state": state, "code_verifier": verifier}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    proven = lambda: form | {"DPoP": prover.proof("POST", endpoint)}

    refused("invalid_dpop_proof", client.fetch_token, headers=form, **code)
    refused("use_dpop_nonce", client.fetch_token, headers=proven(), **code)
    token = client.fetch_token(headers=proven(), **code)
    equal(token["token_type"], "DPoP")
    equal(claims_of(token["access_token"])["cnf"], {"jkt": prover.key.thumbprint()})

    api = f"{ISSUER}/api/orders"
    prover.nonces.clear()
    first = prover.get(api, token["access_token"])
    equal(first.status_code, 401)
    assert 'error="use_dpop_nonce"' in first.headers["WWW-Authenticate"], first.headers
    equal(prover.get(api, token["access_token"]).status_code, 200)
    bearer = requests.get(api, headers={"Authorization": f"Bearer {token['access_token']}"})
    equal(bearer.status_code, 401)

    prover.nonces.clear()
    refused("use_dpop_nonce", client.refresh_token, headers=proven())
    renewed = client.refresh_token(headers=proven())
    equal(claims_of(renewed["access_token"])["cnf"], {"jkt": prover.key.thumbprint()})
    prover.key = ECKey.generate_key("P-256")
    refused("invalid_grant", client.refresh_token, headers=proven())


def token_exchange():
    subject, _ = signed_in()
    client = service(scope="read")
    token = client.fetch_token(
        grant_type=GRANT + "token-exchange",
        subject_token=subject["access_token"],
        subject_token_type=TOKEN + "access_token",
    )
    equal(token["issued_token_type"], TOKEN + "access_token")
    claims = claims_of(token["access_token"])
    equal([claims["sub"], claims["client_id"]], ["alice", "service"])


def jwt_bearer():
    key, jwks = signing_key()
    controlled("PUT", "/v1/clients/robot", {"jwks": jwks, "grant_types": [GRANT + "jwt-bearer"]})
    client = AssertionSession(
        token_endpoint=METADATA["token_endpoint"],
        issuer="robot",
        subject="alice",
        audience=ISSUER,
        scope="read",
        key=key,
        header={"alg": "ES256", "kid": "judge"},
    )
    equal(client.get(f"{ISSUER}/api/orders").status_code, 200)
    equal(claims_of(client.token["access_token"])["sub"], "alice")


def logout():
    app, browser = web(), requests.Session()
    token, _ = signed_in(app, browser)
    silent = app.create_authorization_url(CALLBACK, prompt="none")["url"]
    ask = lambda url: browser.get(url, allow_redirects=False).headers["Location"]
    assert parameter(ask(silent), "code")
    end = app.create_logout_url(GOODBYE, id_token_hint=token["id_token"])
    equal(ask(end["url"]), f"{GOODBYE}?state={end['state']}")
    equal(parameter(ask(silent), "error"), "login_required")


def registration():
    asked = {
        "client_name": "Judge",
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_post",
        "scope": "read",
    }
    # Authlib has RFC 7591 and RFC 7592 for servers only.
    response = requests.post(METADATA["registration_endpoint"], json=asked)
    equal(response.status_code, 201)
    registered = response.json()
    client = session(
        registered["client_id"],
        registered["client_secret"],
        token_endpoint_auth_method=registered["token_endpoint_auth_method"],
    )
    equal(claims_of(client.fetch_token()["access_token"])["sub"], registered["client_id"])
    manager = OAuth2Session(token={"access_token": registered["registration_access_token"], "token_type": "Bearer"})
    equal(manager.get(registered["registration_client_uri"]).json()["client_name"], "Judge")
    equal(manager.delete(registered["registration_client_uri"]).status_code, 204)
    refused("invalid_client", client.fetch_token)


ITEMS = [
    discovery,
    client_credentials_basic,
    client_credentials_post,
    client_credentials_private_key_jwt,
    authorization_code_with_pkce,
    id_token,
    flaws,
    refresh,
    device,
    introspection,
    revocation,
    par,
    dpop,
    token_exchange,
    jwt_bearer,
    logout,
    registration,
]

failed = 0
for item in ITEMS:
    try:
        item()
        print(f"ok {item.__name__}")
    except Exception as error:
        failed = 1
        print(f"FAILED {item.__name__}: {type(error).__name__}: {error}".replace("\n", " "))
        if "TRACE" in os.environ:
            traceback.print_exc()
sys.exit(failed)
