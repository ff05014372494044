// oidc-provider as an authorization server: `node_modules/node/bin/node oidc_provider.js PORT ['{"...": ...}']`.
//
// Prints `READY ISSUER` when it serves, and keeps everything in memory. PORT 0 takes a free one. The JSON may have:
//
//   clients             further clients, as their metadata (RFC 7591 names); one with a known client_id replaces it
//   resources           further resources by their URL: {"audience", "format": "opaque" or "jwt", "scope", "seconds"}
//   dpop_nonce          true: proofs need a nonce of the server (RFC 9449 section 8)
//   signed_introspection  false: introspection responses are plain, whatever a request accepts
//   certificate_header  a header with the URL-encoded PEM of the client's certificate (RFC 8705), as a proxy sets it
//
// Who logs in is never asked: the authorization endpoint logs in the `login_hint`, else `ada`, and consents. With the
// parameter `deny=1` it declines. There are also, for tests:
//
//   POST /control/clock   {"ahead": 3600}             the server's clock, in seconds before the real one
//   POST /control/ciba    {"auth_req_id", "approve"}  the decision of the user at the authentication device
//   POST /control/logout  {"client_id", "sub", "sid"} sends that client a logout token, as the end of a session does
//   GET  /control/ciba                                the latest requests: [{"auth_req_id", "sub", "scope", "binding_message"}]

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { exportJWK, generateKeyPair } from 'jose'
import Provider, { errors } from 'oidc-provider'

const [port, json] = process.argv.slice(2)
const given = JSON.parse(json ?? '{}')

/** What tokens are for: without a resource, opaque ones for `orders-api`. */
const resources = {
  'https://orders.example.com': { audience: 'orders-api', format: 'opaque' },
  'https://stock.example.com': { audience: 'stock-api', format: 'opaque' },
  'https://jwt.example.com': { audience: 'orders-api', format: 'jwt' },
  ...given.resources,
}

const CIBA = 'urn:openid:params:grant-type:ciba'
const standard = [
  { client_id: 'service', client_secret: 's3cr3t', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
  {
    client_id: 'service-dpop',
    client_secret: 's3cr3t',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    dpop_bound_access_tokens: true,
  },
  { client_id: 'orders-api', client_secret: 'ap1-s3cr3t', grant_types: [], redirect_uris: [], response_types: [] },
  {
    client_id: 'orders-api-signed',
    client_secret: 'ap1-s3cr3t',
    grant_types: [],
    redirect_uris: [],
    response_types: [],
    introspection_signed_response_alg: 'ES256',
  },
  {
    client_id: 'web',
    client_secret: 's3cr3t-web',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['http://127.0.0.1:8080/callback'],
    post_logout_redirect_uris: ['http://127.0.0.1:8080/goodbye'],
    response_types: ['code'],
    application_type: 'native',
  },
  {
    client_id: 'device',
    client_secret: 's3cr3t',
    grant_types: [CIBA, 'refresh_token'],
    redirect_uris: [],
    response_types: [],
    backchannel_token_delivery_mode: 'poll',
  },
]
const clients = [...new Map([...standard, ...(given.clients ?? [])].map((one) => [one.client_id, one])).values()]

/** The clock that the library reads is the process's. */
let ahead = 0
const now = Date.now
Date.now = () => now() + ahead * 1000

async function key(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${alg}-${randomBytes(4).toString('hex')}` }
}

const server = createServer()
await new Promise((resolve) => server.listen(Number(port ?? 0), '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`

/** The latest CIBA requests, newest last. */
const asked = []

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [await key('RS256'), await key('ES256')] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  scopes: ['openid', 'offline_access'],
  claims: { openid: ['sub'], email: ['email'], profile: ['name'] },
  extraParams: ['deny'],
  ttl: { AccessToken: 600, ClientCredentials: 600, BackchannelAuthenticationRequest: 300, IdToken: 600, Grant: 86400, Session: 86400, Interaction: 600, RefreshToken: 86400 },
  pkce: { required: () => false },
  enabledJWA: { introspectionSigningAlgValues: ['RS256', 'ES256'] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: sub, email: `${sub}@example.com` }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // The library keeps away from loopback addresses, which is where the tests live.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  // A refresh token for each grant that may have one.
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_, client) => client.clientAuthMethod !== 'none' },
    jwtIntrospection: { enabled: given.signed_introspection !== false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    dPoP: {
      enabled: true,
      nonceSecret: given.dpop_nonce ? randomBytes(32) : undefined,
      requireNonce: () => given.dpop_nonce === true,
    },
    mTLS: {
      enabled: given.certificate_header !== undefined,
      certificateBoundAccessTokens: true,
      getCertificate: (ctx) => decodeURIComponent(ctx.get(given.certificate_header)) || undefined,
    },
    ciba: {
      enabled: true,
      deliveryModes: ['poll'],
      processLoginHint: (_, hint) => hint,
      processLoginHintToken: () => undefined,
      validateBindingMessage: () => {},
      validateRequestContext: () => {},
      verifyUserCode: () => {},
      triggerAuthenticationDevice(_, request) {
        asked.push({ id: request.jti, sub: request.accountId, request })
      },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, client, oneOf) => oneOf?.[0] ?? 'https://orders.example.com',
      useGrantedResource: () => true,
      getResourceServerInfo(_, indicator) {
        const found = resources[indicator]
        if (!found) throw new errors.InvalidTarget()
        return {
          audience: found.audience,
          scope: found.scope ?? 'read write',
          accessTokenFormat: found.format,
          accessTokenTTL: found.seconds ?? 600,
          jwt: found.format === 'jwt' ? { sign: { alg: 'ES256' } } : undefined,
        }
      },
    },
  },
})
provider.on('server_error', (_, error) => console.error(error))

/** What an account lets a client do: everything that is asked for. */
async function granted(clientId, accountId, openid, scope) {
  const grant = new provider.Grant({ accountId, clientId })
  if (openid) grant.addOIDCScope(openid)
  for (const indicator of Object.keys(resources)) grant.addResourceScope(indicator, scope)
  return grant.save()
}

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response)
  if (params.deny) return provider.interactionFinished(request, response, { error: 'access_denied' })
  if (prompt.name === 'login') {
    const accountId = params.login_hint ?? 'ada'
    return provider.interactionFinished(request, response, { login: { accountId } }, { mergeWithLastSubmission: false })
  }
  const scope = params.scope ?? 'openid'
  const id = grantId ?? (await granted(params.client_id, session.accountId, scope, scope))
  return provider.interactionFinished(request, response, { consent: { grantId: id } })
}

const control = {
  'POST /control/clock'({ ahead: seconds }) {
    ahead = seconds
  },
  async 'POST /control/ciba'({ auth_req_id: id, approve }) {
    const found = await provider.BackchannelAuthenticationRequest.find(id)
    if (!found) throw new Error('no such request')
    const scope = found.params?.scope ?? 'openid'
    const result = approve
      ? await granted(found.clientId, found.accountId, scope, scope)
      : new errors.AccessDenied('the user declined')
    await provider.backchannelResult(id, result)
  },
  'GET /control/ciba': () =>
    asked.map(({ id, sub, request }) => ({
      auth_req_id: id,
      sub,
      scope: request.params?.scope,
      binding_message: request.params?.binding_message,
    })),
  async 'POST /control/logout'({ client_id: id, sub, sid }) {
    await (await provider.Client.find(id)).backchannelLogout(sub, sid)
  },
}

const serve = provider.callback()
server.on('request', async (request, response) => {
  const { pathname } = new URL(request.url, issuer)
  const answer = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  try {
    const command = control[`${request.method} ${pathname}`]
    if (command) answer(200, (await command(JSON.parse((await text(request)) || '{}'))) ?? {})
    else if (pathname.startsWith('/interaction/')) await interact(request, response)
    else await serve(request, response)
  } catch (error) {
    if (!response.headersSent) answer(400, { error: String(error.message ?? error), cause: error.cause && String(error.cause) })
  }
})
console.log(`READY ${issuer}`)
