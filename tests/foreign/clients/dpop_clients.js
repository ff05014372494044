// Clients with DPoP against an API behind the guard: `node dpop_clients.js ISSUER API ID SECRET [RESOURCE]`, where ISSUER
// gives this client tokens for the API by its credentials, bound to the key of its proof. Prints `ok ITEM` or
// `FAILED ITEM: why` for each item, and exits with 1 if one failed.

import assert from 'node:assert/strict'
import * as dpop from 'dpop'
import * as client from 'openid-client'

const [issuer, api, id, secret, resource] = process.argv.slice(2)

/** The responses since this was emptied, as status and error. */
const responses = []

async function watched(url, options) {
  const response = await fetch(url, options)
  const challenge = response.headers.get('www-authenticate') ?? ''
  const code = /error="([^"]*)"/.exec(challenge)?.[1] ?? ''
  responses.push(`${response.status} ${code}`.trim())
  return response
}

const execute = [client.allowInsecureRequests]
const configured = () =>
  client.discovery(new URL(issuer), id, undefined, client.ClientSecretBasic(secret), { execute, [client.customFetch]: watched })
const parameters = { scope: 'read', ...(resource && { resource }) }

/** panva's dpop with fetch: the nonce of each origin is sent on, and a refusal for its sake answered once. */
class Proofs {
  nonces = new Map()

  constructor(keys) {
    this.keys = keys
  }

  async fetch(url, { method = 'GET', token, headers, body, htu = url } = {}) {
    const { origin } = new URL(url)
    for (let again = 0; ; again++) {
      const proof = await dpop.generateProof(this.keys, htu, method, this.nonces.get(origin), token)
      const authorization = token && { authorization: `DPoP ${token}` }
      const response = await watched(url, { method, body, headers: { ...headers, ...authorization, dpop: proof } })
      const nonce = response.headers.get('dpop-nonce')
      const stale = nonce && nonce !== this.nonces.get(origin) && [400, 401].includes(response.status)
      if (nonce) this.nonces.set(origin, nonce)
      if (!stale || again > 0) return { response, proof }
      await response.body?.cancel()
    }
  }

  async token() {
    const { token_endpoint: url } = (await configured()).serverMetadata()
    const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
    const body = new URLSearchParams({ grant_type: 'client_credentials', ...parameters }).toString()
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
    const { response } = await this.fetch(url, { method: 'POST', headers, body })
    const tokens = await response.json()
    assert.equal(tokens.token_type, 'DPoP', JSON.stringify(tokens))
    return tokens.access_token
  }
}

const items = {
  async openid_client() {
    const config = await configured()
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
    const { access_token: token, token_type: type } = await client.clientCredentialsGrant(config, parameters, { DPoP })
    assert.equal(type, 'dpop')
    const asked = (options) => client.fetchProtectedResource(config, token, new URL(api), 'GET', undefined, undefined, options)
    for (const time of ['first', 'second', 'third']) {
      responses.length = 0
      const response = await asked({ DPoP })
      assert.equal(response.status, 200, time)
      assert.equal((await response.json()).client_id, id)
      assert.ok(time === 'first' || responses.length === 1, `${time}: ${responses}`)
    }
    await assert.rejects(asked(), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' }) // as Bearer
    const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
    await assert.rejects(asked({ DPoP: thief }), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE' })
    assert.equal(responses.at(-1), '401 invalid_token')
  },

  async dpop() {
    const { dpop_signing_alg_values_supported: taken } = (await configured()).serverMetadata()
    const algorithms = ['ES256', 'RS256', 'PS256', 'Ed25519'].filter((one) => taken.includes(one))
    assert.ok(algorithms.length > 1, String(taken))
    for (const algorithm of algorithms) {
      const proofs = new Proofs(await dpop.generateKeyPair(algorithm))
      const token = await proofs.token()
      for (const url of [api, `${api}?page=2`]) {
        const { response } = await proofs.fetch(url, { token })
        assert.equal(response.status, 200, `${algorithm} ${url}`)
      }
    }
  },

  async dpop_refused() {
    const proofs = new Proofs(await dpop.generateKeyPair('ES256'))
    const token = await proofs.token()
    const { response, proof } = await proofs.fetch(api, { token })
    assert.equal(response.status, 200)
    const headers = { authorization: `DPoP ${token}`, dpop: proof }
    assert.equal((await watched(api, { headers })).status, 401) // again
    assert.equal(responses.at(-1), '401 invalid_dpop_proof')
    assert.equal((await proofs.fetch(api, { token, htu: `${api}/another` })).response.status, 401)
    assert.equal(responses.at(-1), '401 invalid_dpop_proof')
    assert.equal((await watched(api, { headers: { authorization: `Bearer ${token}` } })).status, 401)
    assert.equal(responses.at(-1), '401 invalid_token')
    const thief = new Proofs(await dpop.generateKeyPair('ES256'))
    assert.equal((await thief.fetch(api, { token })).response.status, 401)
    assert.equal(responses.at(-1), '401 invalid_token')
  },
}

let failed = false
for (const [name, item] of Object.entries(items)) {
  try {
    await item()
    console.log(`ok ${name}`)
  } catch (error) {
    failed = true
    console.log(`FAILED ${name}: ${error.stack} ${error.cause ? JSON.stringify(error.cause) : ''}\n  ${responses}`)
  }
}
process.exitCode = failed ? 1 : 0
