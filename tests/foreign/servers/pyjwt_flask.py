"""Flask with a decorator over PyJWT and its PyJWKClient, as its usage examples show."""

import functools
import sys

import jwt
from flask import Flask, g, jsonify, request
from werkzeug.serving import make_server

ISSUER, AUDIENCE, PORT = sys.argv[1:4]
keys = jwt.PyJWKClient(f"{ISSUER}/jwks")
app = Flask(__name__)


def bearer(view):
    @functools.wraps(view)
    def guarded(*args, **kwargs):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return "", 401, {"WWW-Authenticate": "Bearer"}
        try:
            key = keys.get_signing_key_from_jwt(token)
            options = {"require": ["exp", "iss", "aud"]}
            g.claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER, options=options)
        except jwt.PyJWTError:
            return "", 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        scope = g.claims.get("scope")
        if not isinstance(scope, str) or "read" not in scope.split(" "):
            return "", 403, {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="read"'}
        return view(*args, **kwargs)

    return guarded


@app.get("/whoami")
@bearer
def whoami():
    return jsonify(sub=g.claims.get("sub"))


server = make_server("127.0.0.1", int(PORT), app, threaded=True)
print(f"READY http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
