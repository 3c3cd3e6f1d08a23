// What the programs around Node clients share: answers each line of standard input with one.

import { createInterface } from "node:readline";

export const tea = "On tea";
export const both = "Weather and time in both Oslo and Rome?";
export const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

export async function serve(uses) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { url, key, asked } = JSON.parse(line);
    const told = asked.map(([use, scenario]) => uses[use]({ url, key, headers: { "X-Test-Scenario": scenario } }).catch(trouble));
    console.log(JSON.stringify(await Promise.all(told)));
  }
}

function trouble(error) {
  return { raised: error.constructor.name, message: error.message ?? String(error), status: error.statusCode ?? error.status ?? null };
}
