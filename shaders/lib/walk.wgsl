// walk: the elements that one thread goes through. On GPUs neighbouring threads take neighbouring elements and
// step by the whole grid. On software adapters (BLOCKED) each workgroup, of one subgroup, has a run of its own: there a
// workgroup's threads do not wait for others, and memory is fast only if it is read in order.

struct Walk { first: u32, end: u32, step: u32 }

fn walk(count: u32, group: u32, groups: u32, lane: u32) -> Walk {
  if (BLOCKED == 1u) {
    let run = (count + groups - 1u) / groups;
    return Walk(group * run + lane, min(group * run + run, count), WG);
  }
  return Walk(group * WG + lane, count, groups * WG);
}
