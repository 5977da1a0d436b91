// unguarded: this launch writes fresh memory, so a pending fault need not stop it.

fn halted() -> bool {
  return false;
}
