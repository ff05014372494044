'use strict';
// Everything this page does is a request to the control port; what came back is written with textContent, never as HTML.
const base = document.querySelector('meta[name=control]').content;
const $ = (id) => document.getElementById(id);
const pretty = (value) => JSON.stringify(value, null, 2);

async function call(method, path, body) {
  const response = await fetch(base + path, body === undefined
    ? { method }
    : { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const json = await response.json();
  if (!response.ok) throw new Error(json.error);
  return json;
}

// Makes an element: el('td', {className: 'mono'}, 'text', child …).
function el(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function say(text, bad) {
  $('message').textContent = text;
  $('message').className = bad ? 'bad' : 'good';
}

// Does something that a user asked for, reports how it went, and shows what it changed.
async function act(what, order) {
  try {
    await order();
    say(what);
  } catch (error) {
    say(`${what}: ${error.message}`, true);
  }
  await refresh();
}

const button = (text, title, press, className = '') =>
  el('button', { type: 'button', textContent: text, title, className, onclick: press });

// Keeps the choice of a user when the options change.
function options(select, values) {
  const key = JSON.stringify(values);
  if (select.dataset.options === key) return;
  const chosen = select.value;
  select.dataset.options = key;
  select.replaceChildren(...values.map(([value, text]) => el('option', { value, textContent: text })));
  if (values.some(([value]) => value === chosen)) select.value = chosen;
}

// ---- what there is

let state = null;
let shown = '';

async function refresh() {
  try {
    state = await call('GET', '/v1/state');
  } catch (error) {
    $('state').textContent = 'not reachable';
    $('state').className = 'badge bad';
    return;
  }
  showHeader();
  // Redrawing under a user's fingers is rude: only when something changed.
  const { clock, ...rest } = state;
  const key = JSON.stringify(rest);
  if (key === shown) return;
  shown = key;
  showIssuers();
  showKeys();
  showPeople();
  showFaults();
}

// A clock may be set to a time for which there is no date.
function time(unix) {
  const date = new Date(unix * 1000);
  return Number.isNaN(date.getTime()) ? 'beyond all dates' : date.toISOString();
}

function showHeader() {
  $('state').textContent = state.paused ? 'paused' : 'running';
  $('state').className = `badge ${state.paused ? 'bad' : 'good'}`;
  $('url').textContent = state.url;
  $('provider').textContent = state.provider ? `plays ${state.provider}` : '';
  $('pause').textContent = state.paused ? 'Resume' : 'Pause';
  $('clock').textContent = `${time(state.clock).replace('.000', '')} (${state.clock})`;
}

function showIssuers() {
  const names = state.issuers.map((issuer) => [issuer.name, issuer.name || 'first']);
  for (const select of [$('mint').elements.issuer, $('keys-issuer')]) options(select, names);
  if (!$('mint').elements.audience.placeholder) $('mint').elements.audience.placeholder = state.audiences[0];
  const endpoints = Object.keys(state.issuers[0].endpoints);
  const preferred = [...endpoints].sort((a, b) => (b === 'token') - (a === 'token'));
  options($('fault-endpoint'), preferred.map((name) => [name, name]));
  options($('journal-endpoint'), [['', 'all'], ...[...endpoints, 'other'].map((name) => [name, name])]);
  const client = state.clients.find((client) => client.client_secret && client.grant_types.includes('client_credentials'));
  const secret = client ? `-u ${client.client_id}:${client.client_secret} ` : '';
  $('try').textContent = state.provider
    ? `curl ${state.issuers[0].endpoints.token ?? state.url}`
    : `curl ${secret}-d grant_type=client_credentials ${state.issuers[0].endpoints.token}`;
  $('issuers').replaceChildren(...state.issuers.map((issuer, at) =>
    el('details', { open: at === 0 }, el('summary', {}, el('code', { textContent: issuer.issuer })),
      list(Object.entries(issuer.endpoints).map(([name, url]) => [name, el('code', { textContent: url })])))));
}

function list(entries) {
  return el('dl', {}, ...entries.flatMap(([term, value]) => [el('dt', { textContent: term }), el('dd', {}, value)]));
}

function showKeys() {
  const issuer = state.issuers.find((issuer) => issuer.name === $('keys-issuer').value) ?? state.issuers[0];
  const query = `?issuer=${encodeURIComponent(issuer.name)}`;
  const rows = issuer.keys.jwks.keys.map((key) => {
    const kid = key.kid ?? '';
    const signs = kid === issuer.keys.signs ? el('span', { className: 'badge good', textContent: 'signs' }) : null;
    const withdraw = button('Withdraw', `Stop publishing ${kid}`, () =>
      act(`Withdrew ${kid}`, () => call('DELETE', `/v1/keys/${encodeURIComponent(kid)}${query}`)), 'small');
    return el('tr', {}, el('td', {}, el('code', { textContent: kid || 'without an id' }), ' ', signs),
      el('td', { textContent: key.alg ?? key.kty ?? '' }), el('td', {}, kid ? withdraw : null));
  });
  if (rows.length === 0) rows.push(el('tr', {}, el('td', { colSpan: 3, className: 'empty', textContent: 'No key is published.' })));
  $('keys').replaceChildren(...rows);
}

function showPeople() {
  $('clients').replaceChildren(...state.clients.map((client, at) => {
    const { client_id, client_secret, grant_types, scope, redirect_uris, auth_methods, ...rest } = client;
    return el('details', { open: at === 0 },
      el('summary', {}, el('code', { textContent: client_id }), ' ', client_secret
        ? el('code', { textContent: client_secret }) : el('span', { className: 'empty', textContent: 'no secret' })),
      list([
        ['grants', grant_types.join(', ')], ['scope', scope.join(' ')], ['authenticates by', auth_methods.join(', ')],
        ...(redirect_uris.length ? [['redirect URIs', redirect_uris.join(', ')]] : []),
        ...Object.entries(rest).map(([name, value]) => [name.replaceAll('_', ' '),
          typeof value === 'object' ? el('code', { textContent: JSON.stringify(value) }) : String(value)]),
      ]));
  }));
  $('users').replaceChildren(...state.users.map((user) => el('tr', {},
    el('td', { textContent: user.name }), el('td', {}, el('code', { textContent: user.password })),
    el('td', { textContent: user.subject }))));
  if (state.users.length === 0) $('users').append(el('tr', {}, el('td', { colSpan: 3, className: 'empty', textContent: 'No user can log in.' })));
}

// ---- faults

const FAULTS = [
  ['503', 'Responds with 503', { fault: 'status', status: 503 }],
  ['429, retry in 2 s', 'Responds with 429 and Retry-After', { fault: 'status', status: 429, retry_after: 2 }],
  ['slow', 'Responds three seconds late', { fault: 'delay', seconds: 3 }],
  ['hang', 'Never responds', { fault: 'hang' }],
  ['reset', 'Resets the connection', { fault: 'reset' }],
  ['lost response', 'Does the work, then resets the connection', { fault: 'lost_response' }],
  ['drip', 'Sends the body byte by byte', { fault: 'drip', seconds: 0.05 }],
  ['truncated', 'Sends half of the body', { fault: 'truncated' }],
  ['malformed JSON', 'Sends half of the JSON as if it were all', { fault: 'malformed_json' }],
  ['HTML', 'Responds with a login page and 200', { fault: 'html_ok' }],
  ['redirect', 'Redirects to another address', { fault: 'redirect', location: 'http://127.0.0.1:9/' }],
  ['10 MB', 'Sends ten megabytes', { fault: 'oversized', bytes: 10_000_000 }],
];

function often() {
  const times = $('fault-times').value;
  return times ? { times: Number(times) } : {};
}

$('fault-buttons').replaceChildren(...FAULTS.map(([text, title, fault]) => button(text, title, () => {
  const endpoint = $('fault-endpoint').value;
  act(`${endpoint} will fail: ${text}`, () => call('POST', '/v1/faults', { endpoint, ...fault, ...often() }));
})));

$('add-tamper').onclick = () => act(`Will be wrong: ${$('tamper').value}`, () => call('POST', '/v1/flaws', { flaw: $('tamper').value, ...often() }));

function showFaults() {
  const names = state.provider_failures;
  $('provider-failures').hidden = names.length === 0;
  $('failure-buttons').replaceChildren(...names.map((name) => button(name, `As the page documents: ${name}`, () =>
    act(`Will fail: ${name}`, () => call('POST', '/v1/provider_failures', { name, ...often() })))));
  options($('tamper'), state.all_flaws.map((name) => [name, name.replaceAll('_', ' ')]));
  const rows = state.faults.filter((fault) => fault.left !== 0).map((fault) => {
    const when = fault.left === undefined ? 'every request'
      : fault.on_call ? `request ${fault.on_call}, ${fault.seen} seen` : `${fault.left} more`;
    return el('li', {}, el('span', {}, el('code', { textContent: fault.endpoint }), ` ${fault.fault}: ${when}`),
      button('End', `End ${fault.fault} at ${fault.endpoint}`, () =>
        act('Ended the fault', () => call('DELETE', `/v1/faults/${fault.id}`)), 'small'));
  });
  for (const { flaw, left } of state.flaws) {
    rows.push(el('li', {}, el('span', {}, el('code', { textContent: flaw }), `: ${left === null ? 'every response' : `${left} more`}`)));
  }
  if (rows.length > 0) {
    rows.push(el('li', {}, button('End all', 'End all faults', () => act('Ended all faults', () => call('DELETE', '/v1/faults')), 'small')));
  }
  for (const gate of state.gates) {
    rows.push(el('li', {}, el('span', {}, 'gate ', el('code', { textContent: gate }), ' is closed'),
      button('Open', `Open the gate ${gate}`, () =>
        act('Opened the gate', () => call('POST', `/v1/gates/${encodeURIComponent(gate)}/open`)), 'small')));
  }
  if (rows.length === 0) rows.push(el('li', { className: 'empty', textContent: 'None.' }));
  $('faults').replaceChildren(...rows);
}

// ---- tokens

const KINDS = {
  good: () => ({}),
  expired: () => ({ expires_in: -60 }),
  early: (now) => ({ not_before: now + 3600 }),
  audience: () => ({ audience: 'https://another-audience.test' }),
  issuer: () => ({ issuer: 'https://another-issuer.test' }),
  foreign: () => ({ foreign_key: 'RS256' }),
  unsigned: () => ({ unsigned: true }),
  hmac: () => ({ hmac: { alg: 'HS256', secret: 'secret' } }),
  broken: () => ({ signature: 'AAAA' }),
};

$('mint').addEventListener('submit', (event) => {
  event.preventDefault();
  const { kind, issuer, subject, scope, audience, lifetime, claims } = $('mint').elements;
  act('Made a token', async () => {
    const order = { subject: subject.value, scope: scope.value, expires_in: Number(lifetime.value) || 600 };
    if (audience.value) order.audience = audience.value;
    if (claims.value.trim()) {
      try {
        order.claims = JSON.parse(claims.value);
      } catch {
        throw new Error('the further claims are no JSON object');
      }
    }
    Object.assign(order, KINDS[kind.value](state.clock));
    const minted = await call('POST', `/v1/mint?issuer=${encodeURIComponent(issuer.value)}`, order);
    $('token').value = minted.token;
    await decode();
  });
});

$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText($('token').value);
    say('Copied the token');
  } catch {
    $('token').select();
    say('Select and copy it by hand: the browser does not let this page');
  }
});

async function decode() {
  const token = $('token').value.trim();
  const show = (verdict, bad, header, claims) => {
    $('verdict').textContent = verdict;
    $('verdict').className = bad ? 'bad' : 'good';
    $('token-header').textContent = header;
    $('token-claims').textContent = claims;
  };
  if (!token) return show('', false, '', '');
  try {
    const read = await call('POST', '/v1/decode', { token });
    const signed = read.signed_by ? `Signed by ${read.signed_by}` : 'No published key of this server fits the signature';
    const left = read.expires_in;
    const time = left === null ? 'no expiry' : left > 0 ? `${left} seconds left` : `expired ${-left} seconds ago`;
    show(`${signed}; ${time}.`, !read.signed_by || (left !== null && left <= 0), pretty(read.header),
      read.claims === null ? 'no JSON' : pretty(read.claims));
  } catch (error) {
    show(error.message, true, '', '');
  }
}
$('token').addEventListener('input', decode);

// ---- the journal

const requests = new Map();

function showJournal() {
  const wanted = $('journal-endpoint').value;
  const rows = [...requests.values()].filter((request) => !wanted || request.endpoint === wanted)
    .sort((a, b) => b.number - a.number).slice(0, 500);
  // Rows that are there stay there: a user may have opened one.
  const old = new Map([...$('requests').children].map((row) => [row.dataset.key, row]));
  $('requests').replaceChildren(...rows.map((request) => {
    const key = `${request.number} ${request.status} ${request.fault}`;
    return old.get(key) ?? row(request, key);
  }));
  $('no-requests').hidden = rows.length > 0;
}

function row(request, key) {
  const find = (name) => request.params.concat(request.query).find(([known]) => known === name)?.[1];
  const about = ['grant_type', 'client_id', 'scope'].map(find).filter(Boolean).join(' · ');
  const lines = (pairs) => pairs.map(([name, value]) => `${name}: ${value}`).join('\n');
  const detail = [['query', request.query], ['headers', request.headers], ['parameters', request.params]]
    .filter(([, pairs]) => pairs.length > 0);
  const status = request.status === null ? 'no response' : String(request.status);
  const made = el('tr', {},
    el('td', { textContent: request.number }),
    el('td', { className: 'when', textContent: time(request.at).slice(11, 19) }),
    el('td', {}, el('details', {}, el('summary', {}, `${request.method} `, el('code', { textContent: request.path })),
      list(detail.map(([name, pairs]) => [name, el('pre', { textContent: lines(pairs) })])))),
    el('td', { textContent: about }),
    el('td', { className: 'bad', textContent: request.fault ?? '' }),
    el('td', { className: request.status !== null && request.status < 400 ? 'good' : 'bad', textContent: status }));
  made.dataset.key = key;
  return made;
}

async function follow() {
  let since = 0;
  for (;;) {
    try {
      const news = await call('GET', `/v1/journal?since=${since}&wait=25`);
      since = news.revision;
      for (const number of requests.keys()) if (number < news.oldest) requests.delete(number);
      for (const request of news.requests) requests.set(request.number, request);
      showJournal();
      await refresh();
    } catch {
      since = 0;
      requests.clear();
      await refresh();
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

// ---- the rest

const keysQuery = () => `?issuer=${encodeURIComponent($('keys-issuer').value)}`;
$('keys-issuer').addEventListener('change', showKeys);
$('journal-endpoint').addEventListener('change', showJournal);
$('routes').href = `${base}/v1`;
$('rotate').onclick = () => act('A new key signs, the old one stays published', () => call('POST', `/v1/keys/rotate${keysQuery()}`, {}));
$('rotate-abruptly').onclick = () => act('A new key signs, the old one is gone', () => call('POST', `/v1/keys/rotate${keysQuery()}`, { abruptly: true }));
$('retire').onclick = () => act('Only the key that signs is published', () => call('POST', `/v1/keys/retire${keysQuery()}`, {}));
$('pause').onclick = () => (state?.paused
  ? act('The server is back', () => call('POST', '/v1/resume'))
  : act('The server refuses every connection', () => call('POST', '/v1/pause')));
$('reset').onclick = () => act('Back to the configuration', () => call('POST', '/v1/reset'));
$('journal-clear').onclick = () => act('Cleared the journal', () => call('DELETE', '/v1/journal'));
for (const move of document.querySelectorAll('[data-advance], [data-step]')) {
  const { advance, step } = move.dataset;
  move.onclick = () => act(`Moved the clock: ${move.textContent}`, () =>
    call('POST', '/v1/clock', advance ? { advance: Number(advance) } : { step: Number(step) }));
}
refresh();
follow();
setInterval(refresh, 5000);
