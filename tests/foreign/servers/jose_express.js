// Express with a few lines of middleware over jose, as its documentation of jwtVerify and createRemoteJWKSet shows.
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [issuer, audience, port] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));

async function bearer(request, response, next) {
  const token = /^Bearer +([^ ]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!token) {
    return response.status(401).set('WWW-Authenticate', 'Bearer').end();
  }
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', requiredClaims: ['exp'] });
    request.claims = payload;
  } catch {
    return response.status(401).set('WWW-Authenticate', 'Bearer error="invalid_token"').end();
  }
  if (!String(request.claims.scope ?? '').split(' ').includes('read')) {
    return response.status(403).set('WWW-Authenticate', 'Bearer error="insufficient_scope", scope="read"').end();
  }
  next();
}

const app = express();
app.get('/whoami', bearer, (request, response) => response.json(request.claims));
app.listen(Number(port), '127.0.0.1', function () {
  console.log(`READY http://127.0.0.1:${this.address().port}`);
});
