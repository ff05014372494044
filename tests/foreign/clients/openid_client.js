// openid-client against oauth-mock: `node openid_client.js ISSUER CONTROL`, with the server started on mock.toml.
// Prints `ok ITEM` or `FAILED ITEM: why` for each item, and exits with 1 if one failed.

import assert from 'node:assert/strict'
import * as jose from 'jose'
import * as client from 'openid-client'

const [issuer, control] = process.argv.slice(2)
const callback = 'http://127.0.0.1:8080/callback'
const goodbye = 'http://127.0.0.1:8080/goodbye'

/** The responses the library got since `responses` was emptied: proof that a rejection happened where one has to. */
const responses = []

/** The library's documented hook (`customFetch`): what goes over the wire is its own, only watched. */
async function watched(url, options) {
  const response = await fetch(url, options)
  const code = response.ok ? '' : ((await response.clone().json().catch(() => ({}))).error ?? '')
  responses.push(`${response.status} ${code}`.trim())
  return response
}

const execute = [client.allowInsecureRequests]

async function configured(id, authentication, metadata) {
  const options = { execute, [client.customFetch]: watched }
  return client.discovery(new URL(issuer), id, metadata, authentication, options)
}

const service = () => configured('service', client.ClientSecretBasic('s3cr3t'))
const web = () => configured('web', client.ClientSecretBasic('s3cr3t-web'))

async function controlled(method, path, body) {
  const response = await fetch(control + path, { method, body: JSON.stringify(body) })
  const result = await response.json()
  assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(result)}`)
  return result
}

/** As much of a browser as a login needs: it shows the page, fills in the form, and keeps the cookie. */
class Browser {
  cookie = ''

  async get(url) {
    return this.#ask(url, {})
  }

  /** Logs alice in at this URL and returns where she is sent. */
  async login(url) {
    const shown = await this.get(url)
    const page = await shown.text()
    assert.equal(shown.status, 200, page)
    const form = new URLSearchParams()
    for (const [, name, value] of page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) {
      form.append(unescaped(name), unescaped(value))
    }
    for (const field of ['username', 'password']) assert.match(page, new RegExp(`name="${field}"`))
    form.append('username', 'alice')
    form.append('password', 'wonderland')
    form.append('decision', 'allow')
    const response = await this.#ask(url, { method: 'POST', body: form })
    assert.equal(response.status, 303)
    return new URL(response.headers.get('location'))
  }

  async #ask(url, options) {
    const response = await fetch(url, { ...options, redirect: 'manual', headers: { cookie: this.cookie } })
    const [set] = response.headers.getSetCookie()
    if (set) this.cookie = set.split(';')[0]
    return response
  }
}

const unescaped = (text) =>
  text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')

/** Authorization code and PKCE, from the first URL to the checked tokens. */
async function signedIn(config, { scope = 'openid read', options, address, browser = new Browser(), checks = {} } = {}) {
  const verifier = client.randomPKCECodeVerifier()
  const [state, nonce] = [client.randomState(), client.randomNonce()]
  const parameters = {
    redirect_uri: callback,
    scope,
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }
  const url = address ? await address(parameters) : client.buildAuthorizationUrl(config, parameters)
  const back = await browser.login(url)
  const expected = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true, ...checks }
  return client.authorizationCodeGrant(config, back, expected, undefined, options)
}

/** The claims of an access token, its signature checked against the published keys. */
async function claimsOf(config, token) {
  const keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
  const { payload } = await jose.jwtVerify(token, keys, { issuer, audience: 'orders-api', typ: 'at+jwt' })
  return payload
}

async function keyPair() {
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await jose.exportJWK(publicKey)), kid: 'judge', alg: 'ES256', use: 'sig' }
  return { privateKey, jwks: { keys: [jwk] } }
}

/** That the server says no, and how. */
async function refused(promise, code) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.error ?? error.code, code, error)
    return true
  })
}

// All that a login with `max_age` can have, in the order in which the mock lists them.
const flaws = [
  ...['iss_wrong', 'iss_missing', 'state_wrong', 'state_missing', 'code_twice', 'code_missing', 'code_with_error'],
  ...['id_token_missing', 'id_token_issuer', 'id_token_audience', 'id_token_second_audience'],
  ...['id_token_authorized_party', 'id_token_key', 'id_token_signature', 'id_token_unsigned', 'id_token_expired'],
  ...['id_token_future', 'id_token_nonce', 'id_token_nonce_missing', 'id_token_auth_time', 'id_token_hash'],
  ...['id_token_subject_missing', 'userinfo_subject'],
]
const leftToTheUser = ['id_token_authorized_party', 'id_token_future', 'id_token_hash']

const items = {
  async discovery() {
    for (const at of [issuer, `${issuer}/tenant-a`]) {
      for (const algorithm of ['oidc', 'oauth2']) {
        const config = await client.discovery(new URL(at), 'service', undefined, undefined, { execute, algorithm })
        const metadata = config.serverMetadata()
        assert.equal(metadata.issuer, at)
        assert.ok(metadata.supportsPKCE())
      }
    }
  },

  async client_credentials_basic() {
    const secret = '50% + a:b/ü'
    const config = await configured('odd service', client.ClientSecretBasic(secret))
    const tokens = await client.clientCredentialsGrant(config, { scope: 'read' })
    assert.equal(tokens.token_type, 'bearer')
    assert.ok(tokens.expiresIn() > 200)
    const { sub, client_id, scope } = await claimsOf(config, tokens.access_token)
    assert.deepEqual([sub, client_id, scope], ['odd service', 'odd service', 'read'])
    await refused(client.clientCredentialsGrant(await configured('odd service', client.ClientSecretBasic('guess'))), 'OAUTH_WWW_AUTHENTICATE_CHALLENGE')
  },

  async client_credentials_post() {
    const config = await configured('odd service', client.ClientSecretPost('50% + a:b/ü'))
    const tokens = await client.clientCredentialsGrant(config, { scope: 'read write' })
    assert.equal((await claimsOf(config, tokens.access_token)).scope, 'read write')
    await refused(client.clientCredentialsGrant(config, { scope: 'admin' }), 'invalid_scope')
  },

  async client_credentials_private_key_jwt() {
    const { privateKey, jwks } = await keyPair()
    await controlled('PUT', '/v1/clients/signer', { jwks, grant_types: ['client_credentials'] })
    const config = await configured('signer', client.PrivateKeyJwt({ key: privateKey, kid: 'judge' }))
    const tokens = await client.clientCredentialsGrant(config)
    assert.equal((await claimsOf(config, tokens.access_token)).sub, 'signer')
    const other = await keyPair()
    const forged = await configured('signer', client.PrivateKeyJwt({ key: other.privateKey, kid: 'judge' }))
    await refused(client.clientCredentialsGrant(forged), 'invalid_client')
  },

  async authorization_code_with_pkce() {
    const config = await web()
    const tokens = await signedIn(config)
    assert.equal((await claimsOf(config, tokens.access_token)).sub, 'alice')
    const user = await client.fetchUserInfo(config, tokens.access_token, 'alice')
    assert.equal(user.email, 'alice@example.com')
    await refused(signedIn(config, { checks: { pkceCodeVerifier: client.randomPKCECodeVerifier() } }), 'invalid_grant')
  },

  async id_token() {
    const config = await web()
    client.enableNonRepudiationChecks(config) // the signature too
    const tokens = await signedIn(config, { checks: { maxAge: 60 } })
    const claims = tokens.claims()
    assert.deepEqual([claims.iss, claims.aud, claims.sub], [issuer, 'web', 'alice'])
  },

  // What the mock spoils on purpose, and what of it this library leaves to its user.
  async flaws() {
    const config = await web()
    client.enableNonRepudiationChecks(config)
    const passed = []
    for (const flaw of flaws) {
      await controlled('POST', '/v1/flaws', { flaw, times: 1 })
      try {
        const tokens = await signedIn(config, { checks: { maxAge: 60 } })
        await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
        passed.push(flaw)
      } catch (error) {
        assert.match(error.code, /^OAUTH_/, error)
      }
      await controlled('DELETE', '/v1/flaws')
    }
    assert.deepEqual(passed, leftToTheUser)
  },

  async refresh() {
    const config = await web()
    const first = await signedIn(config, { scope: 'openid offline_access read' })
    const second = await client.refreshTokenGrant(config, first.refresh_token)
    assert.notEqual(second.refresh_token, first.refresh_token)
    assert.equal((await claimsOf(config, second.access_token)).sub, 'alice')
    // RFC 9700 section 4.14.2: one that is used again ends the whole family.
    await refused(client.refreshTokenGrant(config, first.refresh_token), 'invalid_grant')
    await refused(client.refreshTokenGrant(config, second.refresh_token), 'invalid_grant')
  },

  async device() {
    const config = await configured('television', client.None())
    const denied = await client.initiateDeviceAuthorization(config, { scope: 'read' })
    await controlled('POST', '/v1/devices', { user_code: denied.user_code })
    await refused(client.pollDeviceAuthorizationGrant(config, denied), 'access_denied')

    const device = await client.initiateDeviceAuthorization(config, { scope: 'openid read' })
    responses.length = 0
    const polling = client.pollDeviceAuthorizationGrant(config, device)
    while (responses.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(responses, ['400 authorization_pending'])
    await controlled('POST', '/v1/devices', { user_code: device.user_code, user: 'alice' })
    const tokens = await polling
    assert.equal(tokens.claims().sub, 'alice')
    assert.equal((await claimsOf(config, tokens.access_token)).client_id, 'television')
  },

  async introspection() {
    const config = await service()
    const { access_token } = await client.clientCredentialsGrant(config, { scope: 'read' })
    const introspected = await client.tokenIntrospection(config, access_token)
    assert.deepEqual([introspected.active, introspected.client_id, introspected.scope, introspected.iss], [true, 'service', 'read', issuer])
    assert.deepEqual(await client.tokenIntrospection(config, 'guess'), { active: false })
  },

  async revocation() {
    const config = await web()
    const tokens = await signedIn(config, { scope: 'openid offline_access read' })
    await client.tokenRevocation(config, tokens.access_token, { token_type_hint: 'access_token' })
    assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false)
    await client.tokenRevocation(config, tokens.refresh_token)
    await refused(client.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant')
    await client.tokenRevocation(config, 'guess') // RFC 7009 section 2.2: not an error
  },

  async par() {
    const config = await configured('pushed', client.ClientSecretBasic('s3cr3t-pushed'))
    const address = async (parameters) => {
      const url = await client.buildAuthorizationUrlWithPAR(config, parameters)
      assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'])
      return url
    }
    const tokens = await signedIn(config, { address })
    assert.equal(tokens.claims().sub, 'alice')
    await refused(client.buildAuthorizationUrlWithPAR(config, { redirect_uri: 'http://127.0.0.1:8080/other' }), 'invalid_request')
  },

  async dpop() {
    const config = await configured('phone', client.None())
    const keys = await client.randomDPoPKeyPair('ES256', { extractable: true })
    const DPoP = client.getDPoPHandle(config, keys)
    const thumbprint = await jose.calculateJwkThumbprint(await jose.exportJWK(keys.publicKey))
    const bound = (parameters) => client.buildAuthorizationUrl(config, { ...parameters, dpop_jkt: thumbprint })

    responses.length = 0
    const tokens = await signedIn(config, { options: { DPoP }, address: bound })
    assert.deepEqual(responses, ['400 use_dpop_nonce', '200'])
    assert.equal(tokens.token_type, 'dpop')
    assert.equal((await claimsOf(config, tokens.access_token)).cnf.jkt, thumbprint)

    responses.length = 0
    const api = new URL(`${issuer}/api/orders`)
    const fetched = (options) => client.fetchProtectedResource(config, tokens.access_token, api, 'GET', undefined, undefined, options)
    assert.equal((await fetched({ DPoP })).status, 200)
    assert.ok(responses.length <= 2, responses.join())
    await assert.rejects(fetched(), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' }) // as Bearer
    assert.equal((await client.fetchUserInfo(config, tokens.access_token, 'alice', { DPoP })).sub, 'alice')

    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
    assert.equal((await claimsOf(config, refreshed.access_token)).cnf.jkt, thumbprint)
    const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair())
    await refused(client.refreshTokenGrant(config, refreshed.refresh_token, undefined, { DPoP: thief }), 'invalid_grant')
  },

  async token_exchange() {
    const config = await service()
    const { access_token } = await signedIn(await web())
    const exchanged = await client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      scope: 'read',
    })
    assert.equal(exchanged.issued_token_type, 'urn:ietf:params:oauth:token-type:access_token')
    const { sub, client_id } = await claimsOf(config, exchanged.access_token)
    assert.deepEqual([sub, client_id], ['alice', 'service'])
  },

  async jwt_bearer() {
    const { privateKey, jwks } = await keyPair()
    const grant = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
    await controlled('PUT', '/v1/clients/robot', { jwks, grant_types: [grant] })
    const assertion = await new jose.SignJWT()
      .setProtectedHeader({ alg: 'ES256', kid: 'judge' })
      .setIssuer('robot').setSubject('alice').setAudience(issuer).setExpirationTime('1 minute').setIssuedAt()
      .sign(privateKey)
    const config = await configured('robot', client.PrivateKeyJwt({ key: privateKey, kid: 'judge' }))
    const tokens = await client.genericGrantRequest(config, grant, { assertion, scope: 'read' })
    assert.equal((await claimsOf(config, tokens.access_token)).sub, 'alice')
  },

  async logout() {
    const config = await web()
    const browser = new Browser()
    const tokens = await signedIn(config, { browser })
    const silent = client.buildAuthorizationUrl(config, {
      ...{ redirect_uri: callback, scope: 'openid', prompt: 'none', state: 's' },
      ...{ code_challenge: await client.calculatePKCECodeChallenge('v'.repeat(43)), code_challenge_method: 'S256' },
    })
    const before = new URL((await browser.get(silent)).headers.get('location'))
    assert.ok(before.searchParams.get('code'), before.href)
    const parameters = { post_logout_redirect_uri: goodbye, id_token_hint: tokens.id_token, state: 'bye' }
    const url = client.buildEndSessionUrl(config, parameters)
    assert.equal((await browser.get(url)).headers.get('location'), `${goodbye}?state=bye`)
    const after = new URL((await browser.get(silent)).headers.get('location'))
    assert.equal(after.searchParams.get('error'), 'login_required')
  },

  async registration() {
    const metadata = { client_name: 'Judge', grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_post', scope: 'read' }
    const config = await client.dynamicClientRegistration(new URL(issuer), metadata, undefined, { execute })
    const tokens = await client.clientCredentialsGrant(config)
    const registered = config.clientMetadata()
    assert.equal((await claimsOf(config, tokens.access_token)).sub, registered.client_id)
    // RFC 7592 has no place in the library: its general request.
    const managed = (method) =>
      client.fetchProtectedResource(config, registered.registration_access_token, new URL(registered.registration_client_uri), method)
    assert.equal((await (await managed('GET')).json()).client_name, 'Judge')
    assert.equal((await managed('DELETE')).status, 204)
    // A 401 has a challenge (RFC 9110 section 15.5.2), wherever the secret was sent.
    await refused(client.clientCredentialsGrant(config), 'OAUTH_WWW_AUTHENTICATE_CHALLENGE')
  },
}

for (const [name, check] of Object.entries(items)) {
  try {
    await check()
    console.log(`ok ${name}`)
  } catch (error) {
    process.exitCode = 1
    const cause = error.cause ? ` (${JSON.stringify(error.cause)})` : ''
    console.log(`FAILED ${name}: ${error.code ?? error.name}: ${error.message}${cause}`.replaceAll('\n', ' '))
    if (process.env.TRACE) console.error(error)
  }
}
