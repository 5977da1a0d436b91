//! Schedules: the learning rate as a function of the step.

use super::{Optimizer, POSITIVE, number};
use crate::{Count, GradScaler, State, StateVisitor};
use std::f64::consts::PI;
use wgrad_core::{Error, Result};

/// A learning rate for each step, counted from 0: a pure function.
///
/// ```
/// use wgrad_nn::Schedule;
/// let schedule = Schedule::cosine(0.1, 1000, 0.0)?.warmup(100)?;
/// assert!(schedule.lr(0) < 0.001);
/// assert_eq!(schedule.lr(100), 0.1);
/// assert!(schedule.lr(1099) < 1e-6);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Steps of linear warm-up before the curve begins.
    warmup: u64,
    curve: Curve,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Constant { lr: f64 },
    Steps { lr: f64, every: u64, factor: f64 },
    Cosine { lr: f64, steps: u64, last: f64 },
    OneCycle { peak: f64, steps: u64, rise: f64, first: f64, last: f64 },
}

/// From one value to another along half a cosine.
fn anneal(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * share.clamp(0.0, 1.0)).cos()) / 2.0
}

#[track_caller]
fn at_least_one(steps: u64) -> Result<()> {
    if steps > 0 {
        return Ok(());
    }
    Err(Error::argument("schedule", "0 steps; give at least 1"))
}

#[track_caller]
fn rate(lr: f64) -> Result<f64> {
    number("schedule", "learning rate", lr, POSITIVE).map(|_| lr)
}

impl Schedule {
    fn new(curve: Curve) -> Self {
        Self { warmup: 0, curve }
    }

    /// The same rate at every step.
    #[track_caller]
    pub fn constant(lr: f64) -> Result<Self> {
        Ok(Self::new(Curve::Constant { lr: rate(lr)? }))
    }

    /// `lr`, times `factor` after each `every` steps: PyTorch's `StepLR`.
    #[track_caller]
    pub fn step(lr: f64, every: u64, factor: f64) -> Result<Self> {
        at_least_one(every)?;
        number("schedule", "factor", factor, POSITIVE)?;
        Ok(Self::new(Curve::Steps { lr: rate(lr)?, every, factor }))
    }

    /// `lr`, times `factor` after each step: PyTorch's `ExponentialLR`.
    #[track_caller]
    pub fn exponential(lr: f64, factor: f64) -> Result<Self> {
        Self::step(lr, 1, factor)
    }

    /// From `lr` at step 0 down to `last` at step `steps` along half a cosine, and `last` from then on (Loshchilov and
    /// Hutter 2017, without restarts).
    #[track_caller]
    pub fn cosine(lr: f64, steps: u64, last: f64) -> Result<Self> {
        at_least_one(steps)?;
        Ok(Self::new(Curve::Cosine { lr: rate(lr)?, steps, last: rate(last)? }))
    }

    /// From `peak`/25 up to `peak` in the first three tenths of `steps`, then down to `peak`/250000, both along half a
    /// cosine (Smith and Topin 2018): PyTorch's `OneCycleLR` with its usual numbers, without its change of momentum.
    #[track_caller]
    pub fn one_cycle(peak: f64, steps: u64) -> Result<Self> {
        at_least_one(steps)?;
        let (first, rise) = (rate(peak)? / 25.0, 0.3);
        Ok(Self::new(Curve::OneCycle { peak, steps, rise, first, last: first / 1e4 }))
    }

    /// The same after `steps` steps of linear warm-up: step i of them has the share (i + 1)/(steps + 1) of the rate with
    /// which this schedule begins.
    #[track_caller]
    pub fn warmup(mut self, steps: u64) -> Result<Self> {
        self.warmup = self.warmup.saturating_add(steps);
        Ok(self)
    }

    /// The learning rate of a step.
    pub fn lr(&self, step: u64) -> f64 {
        match step.checked_sub(self.warmup) {
            Some(step) => self.curve.lr(step),
            None => self.curve.lr(0) * ((step + 1) as f64 / (self.warmup as f64 + 1.0)),
        }
    }
}

impl Curve {
    fn lr(self, step: u64) -> f64 {
        match self {
            Curve::Constant { lr } => lr,
            Curve::Steps { lr, every, factor } => lr * factor.powf((step / every) as f64),
            Curve::Cosine { lr, steps, last } => anneal(lr, last, step as f64 / steps as f64),
            Curve::OneCycle { peak, steps, rise, first, last } => {
                let (step, end) = (step as f64, steps as f64 - 1.0);
                let top = rise * steps as f64 - 1.0;
                if step <= top {
                    anneal(first, peak, if top > 0.0 { step / top } else { 1.0 })
                } else {
                    anneal(peak, last, if end > top { (step - top) / (end - top) } else { 1.0 })
                }
            }
        }
    }
}

/// A schedule and how far it is: sets an optimizer's rate, step by step.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Adam, Mlp, Optimizer, Schedule, Scheduler};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let adam = Adam::new(&model, 0.1)?;
/// let scheduler = Scheduler::new(Schedule::exponential(0.1, 0.5)?, &adam)?;
/// assert_eq!(adam.lr(), 0.1);
/// // After each step of the optimizer:
/// scheduler.step(&adam)?;
/// assert_eq!(adam.lr(), 0.05);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Scheduler {
    schedule: Schedule,
    position: Count,
    /// Skipped steps of a loss scale that are accounted for.
    skipped: Count,
}

impl Scheduler {
    /// A schedule at its step 0, whose rate `optimizer` gets.
    #[track_caller]
    pub fn new(schedule: Schedule, optimizer: &dyn Optimizer) -> Result<Self> {
        optimizer.set_lr(schedule.lr(0))?;
        Ok(Self { schedule, position: Count::new(0), skipped: Count::new(0) })
    }

    /// Which step of the schedule the optimizer takes next.
    pub fn position(&self) -> u64 {
        self.position.get()
    }

    /// Goes on by one step and sets the optimizer's rate. Call it after the optimizer's step, outside a recorded one.
    #[track_caller]
    pub fn step(&self, optimizer: &dyn Optimizer) -> Result<()> {
        self.go_on(1, optimizer)
    }

    /// The same for training with a loss scale: stays where it is if the last step was skipped. Call it after
    /// [`GradScaler::update`], once per step.
    ///
    /// This waits for the device, at each step: the rate of the next step depends on whether this one was skipped, which
    /// the device alone knows. [`step`](Self::step) does not wait and counts skipped steps too; there are few of them
    /// once the scale has settled.
    ///
    /// # Errors
    /// As [`GradScaler::report`], with the step accounted for.
    #[track_caller]
    pub fn step_unless_skipped(
        &self,
        optimizer: &dyn Optimizer,
        scaler: &GradScaler,
    ) -> Result<()> {
        let report = scaler.look()?;
        let new = report.skipped > self.skipped.get();
        self.go_on(u64::from(!new), optimizer)?;
        self.skipped.set(report.skipped);
        scaler.tell(&report)
    }

    #[track_caller]
    fn go_on(&self, steps: u64, optimizer: &dyn Optimizer) -> Result<()> {
        let next = self.position.get().saturating_add(steps);
        optimizer.set_lr(self.schedule.lr(next))?;
        self.position.set(next);
        Ok(())
    }
}

impl State for Scheduler {
    fn state(&self, v: &mut StateVisitor) {
        v.count("position", &self.position);
        v.count("skipped", &self.skipped);
    }
}
