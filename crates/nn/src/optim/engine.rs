//! What all optimizers share: their numbers on the device, the groups of parameters, and their state.

use super::{GroupOptions, POSITIVE, number};
use crate::{Module, Real, StateVisitor};
use std::sync::{Mutex, PoisonError};
use wgrad_core::{
    Error, FlatParameters, Gradients, Result, Tensor,
    ops::optimizer::{self, NUMBERS, Rule},
};

/// An optimizer by its rule. Its numbers lie in one tensor: those of the rule, the learning rate first, then for each
/// range of parameters its group's.
pub(super) struct Engine {
    flat: FlatParameters,
    rule: Rule,
    numbers: [f32; NUMBERS],
    /// Weight decay of the parameters whose group has none of its own.
    decay: f32,
    groups: Vec<Group>,
    hyper: Tensor,
    moments: Vec<Tensor>,
    rate: Real,
    /// Held while a rate is set, so that two threads leave the same one here and on the device.
    setting: Mutex<()>,
}

struct Group {
    /// Numbers of its parameters.
    members: Vec<usize>,
    lr_scale: f32,
    decay: Option<f32>,
}

impl Engine {
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, rule: Rule, lr: f64, decay: f64) -> Result<Self> {
        let mut numbers = [0.0; NUMBERS];
        numbers[0] = number(rule.name(), "learning rate", lr, POSITIVE)?;
        let flat = model.parameters()?;
        let decay = number(rule.name(), "weight decay", decay, POSITIVE)?;
        let moments = flat.moments(rule)?;
        let (groups, rate, setting) = (Vec::new(), Real::new(lr), Mutex::new(()));
        let hyper = flat.hyper(&all_numbers(&flat, &numbers, decay, &groups)?)?;
        Ok(Self { flat, rule, numbers, decay, groups, hyper, moments, rate, setting })
    }

    pub fn name(&self) -> &'static str {
        self.rule.name()
    }

    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The same optimizer by another form of its rule: its moments begin anew.
    #[track_caller]
    pub fn with_rule(mut self, rule: Rule) -> Result<Self> {
        self.moments = self.flat.moments(rule)?;
        self.rule = rule;
        Ok(self)
    }

    /// Sets numbers of the rule from position `at` on.
    #[track_caller]
    pub fn with_numbers<const N: usize>(mut self, at: usize, numbers: [f32; N]) -> Result<Self> {
        for (to, x) in self.numbers.iter_mut().skip(at).zip(numbers) {
            *to = x;
        }
        self.place()
    }

    #[track_caller]
    pub fn with_decay(mut self, decay: f64) -> Result<Self> {
        self.decay = number(self.name(), "weight decay", decay, POSITIVE)?;
        self.place()
    }

    /// Fills a moment with a number.
    #[track_caller]
    pub fn with_moment(self, at: usize, value: f64) -> Result<Self> {
        if let Some(moment) = self.moments.get(at) {
            moment.assign(&Tensor::full_like(moment, value)?)?;
        }
        Ok(self)
    }

    #[track_caller]
    pub fn with_group(
        mut self,
        wanted: impl Fn(&str) -> bool,
        options: GroupOptions,
    ) -> Result<Self> {
        let op = self.name();
        let lr_scale = number(op, "lr_scale", options.lr_scale, POSITIVE)?;
        let decay = options.weight_decay.map(|d| number(op, "weight decay", d, POSITIVE));
        let named: Vec<(usize, &str)> =
            self.flat.iter().map(|(name, _)| name).enumerate().collect();
        let members: Vec<usize> =
            named.iter().filter(|(_, name)| wanted(name)).map(|(i, _)| *i).collect();
        if members.is_empty() {
            let some: Vec<&str> = named.iter().map(|(_, name)| *name).take(8).collect();
            return Err(Error::argument(
                op,
                format!("a group that no parameter belongs to; the names are {}", some.join(", ")),
            ));
        }
        let twice = members.iter().find(|i| self.groups.iter().any(|g| g.members.contains(i)));
        if let Some((_, name)) = twice.and_then(|&i| named.get(i)) {
            return Err(Error::argument(
                op,
                format!("the parameter {name} belongs to an earlier group already"),
            ));
        }
        self.groups.push(Group { members, lr_scale, decay: decay.transpose()? });
        self.place()
    }

    /// Puts all numbers on the device.
    #[track_caller]
    fn place(mut self) -> Result<Self> {
        // Set since, perhaps.
        self.numbers[0] = self.rate.get() as f32;
        let all = all_numbers(&self.flat, &self.numbers, self.decay, &self.groups)?;
        self.hyper = self.flat.hyper(&all)?;
        Ok(self)
    }

    #[track_caller]
    pub fn step(&self, gradients: &Gradients) -> Result<()> {
        self.flat.update(self.rule, gradients, &self.hyper, &self.moments)
    }

    pub fn lr(&self) -> f64 {
        self.rate.get()
    }

    #[track_caller]
    pub fn set_lr(&self, lr: f64) -> Result<()> {
        let number = number(self.name(), "learning rate", lr, POSITIVE)?;
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        self.flat.set_hyper(&self.hyper, 0, &[number])?;
        self.rate.set(lr);
        Ok(())
    }

    pub fn state(&self, v: &mut StateVisitor, moments: &[&str]) {
        // Another rule with moments of the same sizes would take the numbers for its own.
        v.setting("rule", rule_number(self.name()));
        // Other members may make as many ranges, whose starts the saved numbers hold.
        let names: Vec<&str> = self.flat.iter().map(|(name, _)| name).collect();
        for (number, group) in (1..).zip(&self.groups) {
            for name in group.members.iter().filter_map(|&i| names.get(i)) {
                v.setting(format_args!("group.{name}"), number);
            }
        }
        v.real("lr", &self.rate);
        v.tensor("numbers", &self.hyper);
        for (name, moment) in moments.iter().zip(&self.moments) {
            v.tensor(name, moment);
        }
        if self.rule.counts()
            && let Some(steps) = self.moments.last()
        {
            v.tensor("steps", steps);
        }
    }
}

/// A rule's name as a number: its first eight letters.
fn rule_number(name: &str) -> u64 {
    name.bytes().take(8).fold(0, |number, letter| number << 8 | u64::from(letter))
}

/// The rule's numbers, then those of each range; neighbours with the same numbers are one range.
fn all_numbers(
    flat: &FlatParameters,
    numbers: &[f32; NUMBERS],
    decay: f32,
    groups: &[Group],
) -> Result<Vec<f32>> {
    let mut parameters: Vec<(usize, usize)> =
        flat.iter().enumerate().map(|(i, (_, x))| (x.layout().offset, i)).collect();
    parameters.sort_unstable();
    let mut all = numbers.to_vec();
    let mut last = None;
    for (start, i) in parameters {
        let group = groups.iter().find(|group| group.members.contains(&i));
        let lr_scale = group.map_or(1.0, |group| group.lr_scale);
        let own = (lr_scale, group.and_then(|group| group.decay).unwrap_or(decay));
        if last != Some(own) {
            // The first range begins at 0, also where parameters without elements come first.
            let start = if last.is_none() { 0 } else { start };
            all.extend(optimizer::range(start, own.0, own.1));
            last = Some(own);
        }
    }
    if last.is_none() {
        all.extend(optimizer::range(0, 1.0, decay));
    }
    Ok(all)
}
