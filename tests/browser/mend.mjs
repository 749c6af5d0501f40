// Rows in quarantine: an operator sees what is wrong, an admin says what a row is to be, and it arrives.
import { ask, base, check, logIn, open, picture, scene } from "./browser.mjs";

await scene(async (browser) => {
  const operator = await open(browser);
  await logIn(operator, process.env.SYNCLINE_OPERATOR);
  await operator.getByRole("link", { name: /has a quarantine/ }).click();
  await operator.getByRole("heading", { name: /^Quarantine/ }).waitFor();
  check((await operator.locator("main").innerText()).includes("amount"), "the column is named");
  check(await operator.getByRole("heading", { name: "Row by row" }).count() === 0, "keys are not for operators");

  const admin = await open(browser);
  await logIn(admin, process.env.SYNCLINE_ADMIN);
  await admin.goto(operator.url());
  await admin.getByRole("heading", { name: "Row by row" }).waitFor();
  const field = admin.getByLabel("What amount of row 3 is to be");
  const keep = admin.locator("tr", { has: field }).getByRole("button", { name: "Keep" });
  admin.expected = /422/;
  await field.fill("twelve");
  await keep.click();
  await admin.getByRole("alert").waitFor();
  admin.expected = null;
  await admin.goBack();
  await field.fill("12.50");
  await keep.click();
  await admin.getByRole("heading", { name: "Row by row" }).waitFor();
  await admin.locator("tr", { has: field }).locator(".state", { hasText: "kept" }).waitFor();
  await picture(admin, "quarantine");
  const other = admin.locator("tr", { hasText: "onerror" }).last();
  await other.getByLabel("NULL").check();
  await other.getByRole("button", { name: "Keep" }).click();
  await admin.getByRole("button", { name: "Replay" }).click();
  await admin.waitForURL(/\/runs\/run_\w+$/);
  await admin.locator("h1 .state", { hasText: /done$/ }).waitFor();
  await ask("look");

  const forged = await operator.request.post(`${admin.url()}/quarantine/1/correct`, { form: { value: "1" } });
  check(forged.status() === 403, `an operator says no value: ${forged.status()}`);

  // Who did what: for admins.
  await operator.goto(`${base}/security`);
  check(await operator.getByText("Only an admin sees who asked for what.").count() === 1, "operators see no audit log");
  for (const [scheme, width] of [["light", 1280], ["dark", 1280], ["light", 390]]) {
    await admin.emulateMedia({ colorScheme: scheme });
    await admin.setViewportSize({ width, height: 800 });
    await admin.goto(`${base}/security`);
    await admin.getByRole("heading", { name: "Audit log" }).waitFor();
    const over = await admin.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(over <= 0, `the audit log at ${width} px runs over the edge by ${over} px`);
    await picture(admin, `audit-${scheme}-${width}`);
  }
  const audit = await admin.locator("main").innerText();
  for (const told of ["/quarantine/2/correct", "/quarantine/replay", "log in dashboard", "(refused)"]) {
    check(audit.includes(told), `the audit log tells of ${told}`);
  }
  check(!audit.includes("12.50"), "and of no value");

  // A token is taken away: whoever came in by it is out.
  const tokens = admin.locator("table", { has: admin.getByRole("columnheader", { name: "Expires" }) });
  await admin.setViewportSize({ width: 1280, height: 800 });
  await admin.locator("tr", { hasText: "operator" }).getByRole("button", { name: "Revoke" }).click();
  await tokens.locator(".state", { hasText: "revoked" }).waitFor();
  await picture(admin, "tokens");
  await operator.goto(`${base}/security`);
  await operator.waitForURL(/\/login/);
});
