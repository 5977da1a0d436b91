//! `Interrupt`: Ctrl-C as a question instead of an end.

use signal_hook::{SigId, consts::SIGINT, flag, low_level::unregister};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use wgrad_core::{Error, Result};

/// Notes Ctrl-C (SIGINT) while it lives, so that a loop can end in order. A second Ctrl-C ends the process at
/// once.
///
/// ```
/// let interrupt = wgrad_nn::Interrupt::watch()?;
/// assert!(!interrupt.asked());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Interrupt {
    /// Begins to watch.
    #[track_caller]
    pub fn watch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let mut this = Self { asked: asked.clone(), handlers: Vec::new() };
        // In this order: what was asked before ends the process, then it is noted that it was asked.
        let shutdown = flag::register_conditional_shutdown(SIGINT, 130, asked.clone());
        for handler in [shutdown, flag::register(SIGINT, asked)] {
            match handler {
                Ok(handler) => this.handlers.push(handler),
                Err(error) => {
                    return Err(Error::config(
                        "interrupt",
                        format!("SIGINT cannot be watched: {error}"),
                    ));
                }
            }
        }
        Ok(this)
    }

    /// Whether somebody pressed Ctrl-C.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}
