//! `Interrupt`: Ctrl-C as a question instead of an end.

use signal_hook::{consts::SIGINT, flag};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use wgrad_core::{Error, Result};

/// Notes Ctrl-C (SIGINT) while it lives, so that a loop can end in order. A second Ctrl-C ends the process at
/// once, and so does the first when nobody watches. Several watch together: all are asked.
///
/// ```
/// let interrupt = wgrad_nn::Interrupt::watch()?;
/// assert!(!interrupt.asked());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Interrupt(Handlers);

/// What the process's handlers, which stay once they are there, look at and set.
#[derive(Clone)]
struct Handlers {
    asked: Arc<AtomicBool>,
    /// Whether the signal does what it does without handlers.
    ends: Arc<AtomicBool>,
}

/// The handlers, and how many watch.
static WATCHED: Mutex<(Option<Handlers>, usize)> = Mutex::new((None, 0));

impl Interrupt {
    /// Begins to watch.
    #[track_caller]
    pub fn watch() -> Result<Self> {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        let handlers = match &watched.0 {
            Some(handlers) => handlers.clone(),
            None => match Handlers::register() {
                Ok(handlers) => watched.0.insert(handlers).clone(),
                Err(error) => {
                    let text = format!("SIGINT cannot be watched: {error}");
                    return Err(Error::config("interrupt", text));
                }
            },
        };
        if watched.1 == 0 {
            handlers.asked.store(false, Ordering::SeqCst);
            handlers.ends.store(false, Ordering::SeqCst);
        }
        watched.1 += 1;
        Ok(Self(handlers))
    }

    /// Whether somebody pressed Ctrl-C.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl Handlers {
    fn register() -> std::io::Result<Self> {
        let this = Self { asked: Arc::default(), ends: Arc::new(AtomicBool::new(true)) };
        // They run in this order: the end comes first, if it was asked for before.
        flag::register_conditional_default(SIGINT, this.ends.clone())?;
        flag::register(SIGINT, this.asked.clone())?;
        flag::register(SIGINT, this.ends.clone())?;
        Ok(this)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.1 = watched.1.saturating_sub(1);
        if watched.1 == 0 {
            self.0.ends.store(true, Ordering::SeqCst);
        }
    }
}
