"""Flask with Authlib's ResourceProtector and JWTBearerTokenValidator, set up as its documentation of RFC 9068 shows."""

import sys
import time

import requests
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from flask import Flask, jsonify
from werkzeug.serving import make_server

ISSUER, AUDIENCE, PORT = sys.argv[1:4]
cache = {}


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        # The documentation leaves the cache to the reader; five seconds let the suite see what a new key does.
        if cache.get("until", 0) < time.monotonic():
            metadata = requests.get(f"{self.issuer}/.well-known/oauth-authorization-server", timeout=5).json()
            cache["jwks"] = requests.get(metadata["jwks_uri"], timeout=5).json()
            cache["until"] = time.monotonic() + 5
        return cache["jwks"]


require_oauth = ResourceProtector()
require_oauth.register_token_validator(Validator(ISSUER, AUDIENCE))
app = Flask(__name__)


@app.get("/whoami")
@require_oauth("read")
def whoami():
    return jsonify(sub=current_token["sub"])


server = make_server("127.0.0.1", int(PORT), app, threaded=True)
print(f"READY http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
