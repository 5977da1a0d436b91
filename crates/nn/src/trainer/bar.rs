//! `Bar`: what a run shows on stderr, a bar while an epoch runs and the line that is left of it.

use super::Epoch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    fmt,
    io::{self, Write},
    time::{Duration, Instant},
};

/// A loss on the bar is not older than this and a step, however few steps an epoch has.
const LOSS_EVERY: Duration = Duration::from_millis(250);

/// Of one epoch. Where stderr is no terminal there is only the line, and if it is quiet neither.
pub(super) struct Bar {
    bar: ProgressBar,
    epochs: u64,
    quiet: bool,
    asked: Instant,
}

impl Bar {
    /// For an epoch (from 0) of so many batches.
    pub fn new(epoch: u64, epochs: u64, batches: usize, quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        Self::on(target, epoch, epochs, batches, quiet)
    }

    fn on(
        target: ProgressDrawTarget,
        epoch: u64,
        epochs: u64,
        batches: usize,
        quiet: bool,
    ) -> Self {
        let prefix = format!("epoch {}/{epochs}", epoch + 1);
        let bar = ProgressBar::with_draw_target(Some(batches as u64), target).with_prefix(prefix);
        // Fits into 80 columns with epochs and steps of a few digits.
        let template = "{prefix} [{bar:20}] {pos}/{len} {rate} steps/s {msg} {eta} left";
        let rate = |state: &ProgressState, to: &mut dyn fmt::Write| {
            // A bar that cannot be written shows nothing.
            let _ = to.write_str(&rounded(state.per_sec(), 3));
        };
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style.with_key("rate", rate).progress_chars("=> ")),
            Err(_) => bar,
        };
        Self { bar, epochs, quiet, asked: Instant::now() }
    }

    /// Whether it is time to ask for the losses so far; never where nobody sees the bar.
    pub fn wants_loss(&mut self, now: Instant) -> bool {
        let wants = now.duration_since(self.asked) >= LOSS_EVERY && !self.bar.is_hidden();
        if wants {
            self.asked = now;
        }
        wants
    }

    /// So many batches are taken.
    pub fn taken(&self, batches: u64) {
        self.bar.set_position(batches);
    }

    /// The last loss that is known.
    pub fn loss(&self, loss: f32) {
        self.bar.set_message(format!("loss {}", rounded(loss.into(), 4)));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Leaves the epoch's line.
    pub fn leave(&self, epoch: &Epoch) {
        if !self.quiet {
            // A run does not fail because nobody reads its lines.
            let _ = writeln!(io::stderr(), "{}", line(epoch, self.epochs));
        }
    }
}

/// What an epoch showed, for people.
fn line(one: &Epoch, epochs: u64) -> String {
    let metrics: String =
        one.metrics.iter().map(|(name, x)| format!(", {name} {}", rounded(*x, 4))).collect();
    format!(
        "epoch {}/{epochs}: training loss {}, validation loss {}{metrics}, {} s",
        one.epoch + 1,
        rounded(one.train_loss, 4),
        rounded(one.loss, 4),
        rounded(one.seconds, 3)
    )
}

/// A number with so many significant digits.
fn rounded(x: f64, digits: usize) -> String {
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    let last = digits.saturating_sub(1);
    let scientific = format!("{x:.last$e}");
    // After rounding: 9.999 has one more digit before the point than it seems.
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
    match exponent {
        Some(e @ 0..=6) => match last.checked_sub(e as usize) {
            Some(decimals) => format!("{x:.decimals$}"),
            None => {
                let unit = 10f64.powi(e - last as i32);
                format!("{:.0}", (x / unit).round() * unit)
            }
        },
        Some(e @ -4..0) => format!("{x:.*}", last + e.unsigned_abs() as usize),
        _ => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::sync::{Arc, Mutex, PoisonError};

    #[test]
    fn significant_digits() {
        for (x, three) in [
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
            (1.0, "1.00"),
            (12.3456, "12.3"),
            (123.456, "123"),
            (9.996, "10.0"),
            (0.999_6, "1.00"),
            (99_960.0, "100000"),
            (12_345.6, "12300"),
            (-0.012_345, "-0.0123"),
            (0.000_123_45, "0.000123"),
            (0.000_012_345, "1.23e-5"),
            (12_345_678.0, "1.23e7"),
        ] {
            assert_eq!(rounded(x, 3), three);
        }
    }

    #[test]
    fn a_line_says_all() {
        let epoch = Epoch {
            epoch: 2,
            step: 30,
            train_loss: 0.123_456,
            loss: f64::NAN,
            seconds: 61.25,
            metrics: vec![("accuracy".to_owned(), 0.98), ("f1".to_owned(), 0.5)],
        };
        let want = "epoch 3/10: training loss 0.1235, validation loss NaN, accuracy 0.9800, f1 0.5000, 61.2 s";
        assert_eq!(line(&epoch, 10), want);
    }

    /// A terminal that keeps what is written.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn text(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_rate_and_loss() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let mut bar = Bar::on(target, 1, 3, 8, false);
        let (start, later) = (bar.asked, bar.asked + LOSS_EVERY);
        assert!(!bar.wants_loss(start) && bar.wants_loss(later) && !bar.wants_loss(later));
        std::thread::sleep(Duration::from_millis(50)); // for a rate of a few steps
        bar.taken(2);
        bar.loss(0.012_345_6);
        bar.bar.tick();
        let text = screen.text();
        assert!(text.contains("epoch 2/3 [") && text.contains("] 2/8 "), "{text}");
        assert!(text.contains(" steps/s loss 0.01235 "), "{text}");
        let rate = text.split("] 2/8 ").last().and_then(|rest| rest.split(' ').next());
        let digits =
            rate.unwrap_or_default().chars().filter(char::is_ascii_digit).collect::<String>();
        assert_eq!(digits.trim_start_matches('0').len(), 3, "{text}");
    }

    #[test]
    fn a_bar_that_nobody_sees_asks_for_no_loss() {
        let mut bar = Bar::new(0, 1, 8, true);
        let later = bar.asked + LOSS_EVERY;
        assert!(!bar.wants_loss(later));
    }
}
