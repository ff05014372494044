// A user logs in: fills in the login page of the server, allows or denies, and lands on the page of the program.
import { run } from './harness.mjs';

await run(async ({ browser, page, input, shot, errors }) => {
  await page.goto(input.url);
  await page.getByRole('heading').waitFor();
  const seen = { asks: await page.getByRole('main').innerText() };
  await shot(`${input.name}-page`);

  // A typing error is reported, and costs nothing.
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill('a wrong one');
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByRole('alert').waitFor();
  seen.alert = await page.getByRole('alert').innerText();

  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill('wonderland');
  await page.getByRole('button', { name: input.decision }).click();
  await page.getByRole('heading', { name: input.lands }).waitFor();
  seen.landed = await page.getByRole('main').innerText();
  seen.address = page.url();
  await shot(`${input.name}-landed`);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await shot(`${input.name}-landed-phone`);
  seen.scrollsSideways = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  // The browser logs every response with a status other than 200; a missing icon, too.
  errors.splice(0, errors.length, ...errors.filter((text) => !/status of 40[04]|favicon/.test(text)));
  return seen;
});
