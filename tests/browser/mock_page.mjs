// The page of the mock server, used as a user would: by its labels and buttons, and nothing else.
import { run } from './harness.mjs';

await run(async ({ browser, page, input, shot, errors }) => {
  await page.goto(input.url);
  await page.getByText('running').waitFor();
  const seen = { title: await page.title(), clients: await page.getByRole('region', { name: 'Clients' }).innerText() };

  // Make a token, and read it.
  const mint = page.getByRole('region', { name: 'Make a token' });
  const read = page.getByRole('region', { name: 'Read a token' });
  await mint.getByLabel('Subject').fill('bob');
  await mint.getByLabel('Scope').fill('read write');
  await mint.getByLabel('More claims').fill('{"roles": ["admin"]}');
  await mint.getByRole('button', { name: 'Make token' }).click();
  await read.getByText('Signed by').waitFor();
  seen.good = { token: await read.getByLabel('Token').inputValue(), claims: await page.locator('#token-claims').innerText(), verdict: await page.locator('#verdict').innerText() };
  for (const kind of ['expired', 'unsigned', 'foreign']) {
    await mint.getByLabel('Kind').selectOption(kind);
    const before = await read.getByLabel('Token').inputValue();
    await mint.getByRole('button', { name: 'Make token' }).click();
    await page.waitForFunction((old) => document.getElementById('token').value !== old, before);
    await page.waitForFunction((kind) => document.getElementById('verdict').textContent.includes(kind === 'expired' ? 'expired' : 'No published key'), kind);
    seen[kind === 'foreign' ? 'unknown' : kind] = { token: await read.getByLabel('Token').inputValue(), verdict: await page.locator('#verdict').innerText() };
  }

  // A fault, and the requests that meet it, seen live in the journal.
  const faults = page.getByRole('region', { name: 'Make it fail' });
  await faults.getByLabel('Endpoint').selectOption('token');
  await faults.getByRole('button', { name: '429' }).click();
  await faults.getByText('1 more').waitFor();
  seen.statuses = [];
  for (let times = 0; times < 2; times += 1) {
    const response = await fetch(`${input.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('svc:s3cr3t')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'read' }),
    });
    seen.statuses.push(response.status);
  }
  const journal = page.getByRole('region', { name: 'Journal' });
  await journal.getByRole('cell', { name: 'status 429' }).waitFor();
  await journal.getByRole('cell', { name: '200', exact: true }).first().waitFor();
  await journal.locator('tr', { hasText: 'status 429' }).locator('summary').click();
  seen.journal = await journal.innerText();
  await faults.getByText('None.').waitFor();

  // A response that is tampered with in one point.
  await faults.getByLabel('Response').selectOption('id_token_expired');
  await faults.getByRole('button', { name: 'Tamper' }).click();
  await faults.getByText('id_token_expired: 1 more').waitFor();
  await faults.getByRole('button', { name: 'End all' }).click();
  await faults.getByText('None.').waitFor();

  // Keys.
  const keys = page.getByRole('region', { name: 'Keys' });
  await keys.getByRole('button', { name: 'Rotate', exact: true }).click();
  await keys.getByRole('button', { name: 'Withdraw' }).nth(1).waitFor();
  seen.keys = await keys.getByRole('row').count() - 1;
  await keys.getByRole('button', { name: 'Retire old keys' }).click();
  await page.waitForFunction(() => document.querySelectorAll('#keys tr').length === 1);

  await shot(`mock-page-${input.name}-light`);
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot(`mock-page-${input.name}-dark`);
  await page.setViewportSize({ width: 390, height: 844 });
  await shot(`mock-page-${input.name}-phone`);
  seen.scrollsSideways = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

  // Each thing to press or fill has a name that a screen reader can say.
  seen.nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, select, textarea')]
    .filter((it) => !it.textContent.trim() && !it.labels?.length && !it.ariaLabel).map((it) => it.outerHTML));

  // An error is shown on the page; the browser's own note about the status 400 is no error of the page.
  await page.setViewportSize({ width: 1280, height: 900 });
  await mint.getByLabel('More claims').fill('{');
  await mint.getByRole('button', { name: 'Make token' }).click();
  await page.getByText('the further claims are no JSON object').waitFor();
  await read.getByLabel('Token').fill('nonsense');
  await read.getByText('no JWT').waitFor();
  errors.splice(0, errors.length, ...errors.filter((text) => !text.includes('status of 400')));

  // Away, back, and anew.
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('paused', { exact: true }).waitFor();
  seen.paused = await fetch(`${input.issuer}/jwks`).then((response) => response.status, () => 'refused');
  await page.getByRole('button', { name: 'Reset', exact: true }).click();
  await page.getByText('running', { exact: true }).waitFor();
  await page.getByText('Nothing has arrived yet').waitFor();
  seen.resumed = await fetch(`${input.issuer}/jwks`).then((response) => response.status);

  // A page of another origin gets nothing.
  const other = await browser.newPage();
  await other.goto('data:text/html,<p>other</p>');
  seen.foreign = await other.evaluate((url) => fetch(url).then((response) => response.text(), () => 'blocked'), `${input.control}/v1/state`);
  await other.close();
  errors.splice(0, errors.length, ...errors.filter((text) => !/v1\/state|403|ERR_FAILED/.test(text)));
  return seen;
});
