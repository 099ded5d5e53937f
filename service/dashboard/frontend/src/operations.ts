// The operations page: each part takes over what is new; forms and open tables stay.

import { follow } from "./live/news";
import { fetchPage, takeParts, timeOf } from "./live/parts";

async function refresh(): Promise<string> {
  const page = await fetchPage();
  takeParts(page);
  return timeOf(page);
}

follow(refresh, () => "here"); // whatever happens is of interest to an administrator
