// Writes to two models in the page of a running Open WebUI, and prints their answers as JSON.
//
//     node open_webui_page.js URL CHROMIUM MODEL,MODEL SCREENSHOT
//
// `open_webui.py --chromium CHROMIUM` runs it.

import { chromium } from "playwright-core";

const [url, executablePath, models, path] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(120_000);
  // What is new in this version is told to every new user.
  await page.addLocatorHandler(page.getByRole("button", { name: "Okay, Let's Go!" }), (button) => button.click());
  const foreign = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && /^(https?|wss?):/.test(request.url())) foreign.push(request.url());
  });
  await page.goto(`${url}/?models=${models}`);
  await page.locator("#chat-input").click();
  await page.keyboard.type("Write a short story.");
  await page.keyboard.press("Enter");
  const answers = page.locator(".chat-assistant");
  await page.waitForFunction(
    (count) => {
      const found = [...document.querySelectorAll(".chat-assistant")];
      return found.length === count && found.every((one) => one.innerText.trim().endsWith("."));
    },
    models.split(",").length,
  );
  await page.screenshot({ path });
  console.log(JSON.stringify({ answers: await answers.allInnerTexts(), foreign }));
} finally {
  await browser.close();
}
