// Express with express-oauth2-jwt-bearer, set up as its README shows.
import express from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';

const [issuerBaseURL, audience, port] = process.argv.slice(2);
const app = express();
app.get('/whoami', auth({ issuerBaseURL, audience }), requiredScopes('read'), (request, response) => {
  response.json(request.auth.payload);
});
app.listen(Number(port), '127.0.0.1', function () {
  console.log(`READY http://127.0.0.1:${this.address().port}`);
});
