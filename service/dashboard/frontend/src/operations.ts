// The operations page: each part takes over what is new; forms and open tables stay.

import { follow } from "./live/news";
import { fetchPage, takeParts, timeOf } from "./live/parts";

const QUIET_MS = 2000; // an administrator reads tables: on a busy ward news come each second

async function refresh(): Promise<string> {
  const page = await fetchPage();
  takeParts(page);
  return timeOf(page);
}

follow(refresh, undefined, QUIET_MS);
