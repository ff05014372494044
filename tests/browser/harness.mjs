// What every script here needs: a browser, pages whose errors are not overlooked, screenshots, and one result at the end.
//
//   import { run } from './harness.mjs';
//   await run(async ({ page, input, shot }) => {
//     await page.goto(input.url);
//     await shot('start');
//     return { title: await page.title() };
//   });
//
// `input` is the JSON given as the first argument; what the function returns is printed as JSON, in one line on stdout.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

// How long a page may take for one step, on a crowded machine.
const PATIENCE = 20_000;

export async function run(script) {
  const input = JSON.parse(process.argv[2] ?? '{}');
  const shots = process.env.SCREENSHOTS;
  const profile = await mkdtemp(join(tmpdir(), 'browser-tests-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
    ignoreHTTPSErrors: input.ignoreHTTPSErrors ?? false,
  });
  const errors = [];
  try {
    browser.setDefaultTimeout(PATIENCE);
    const page = browser.pages()[0] ?? await browser.newPage();
    browser.on('weberror', (error) => errors.push(String(error.error())));
    browser.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
    // A picture of the page as it is, under the directory the test names.
    const shot = async (name, options = {}) => {
      if (!shots) return;
      await mkdir(shots, { recursive: true });
      await (options.page ?? page).screenshot({ path: join(shots, `${name}.png`), fullPage: true });
    };
    const result = await script({ browser, page, input, shot, errors });
    console.log(JSON.stringify({ ...result, errors }));
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  }
}
