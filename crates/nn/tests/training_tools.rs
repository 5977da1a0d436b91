//! Groups, schedules, averages, accumulation and loss scaling on the CPU, by hand; and what they refuse.

#[allow(dead_code, clippy::panic, reason = "the table serves other tests too")]
#[path = "../../../tests/support/tolerance.rs"]
mod tolerance;

use wgrad_core::{
    DType, Device, Error, ErrorKind, FlatParameters, Gradients, Result, Step, Tensor,
    cpu::Cpu,
    ops::optimizer::{Rule, range},
};
use wgrad_nn::{
    Adagrad, Adam, AdamW, Checkpoint, Ema, GradAccumulator, GradScaler, GroupOptions, Init, Linear,
    Lion, Module, Optimizer, Parameter, RmsProp, Schedule, Scheduler, Sgd, State, StateEntry,
    StateVisitor, module,
};

struct Point {
    at: Parameter,
    bias: Parameter,
}
module!(Point { at, bias });

fn point() -> Result<Point> {
    let at = Parameter::new(&[3], vec![1.0, -2.0, 0.5])?;
    Point { at, bias: Parameter::new(&[2], vec![1.0, 1.0])? }.on(&Device::cpu())
}

/// The loss Σ slope·p.
fn gradients(point: &Point, slope: f32) -> Result<Gradients> {
    let at = point.at.tensor()?.sum_all()?;
    at.try_add(&point.bias.tensor()?.sum_all()?)?.try_mul(f64::from(slope))?.backward()
}

fn near(rule: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!(tolerance::of(rule).allows(f64::from(*got), *want), "{got} instead of {want}");
    }
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}

#[test]
fn groups_have_rates_and_decays_of_their_own() -> Result<()> {
    let p = point()?;
    let quiet = GroupOptions { lr_scale: 0.5, weight_decay: Some(0.0) };
    let sgd = Sgd::new(&p, 0.1)?.group(|name| name == "bias", quiet)?.weight_decay(0.5)?;
    sgd.step(&gradients(&p, 1.0)?)?;
    near("optimizer", &p.at.tensor()?.to_vec()?, &[0.85, -2.0, 0.375]);
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[0.95, 0.95]);
    sgd.set_lr(0.0)?;
    sgd.step(&gradients(&p, 1.0)?)?;
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[0.95, 0.95]);
    Ok(())
}

#[test]
fn groups_that_make_no_sense_are_refused() -> Result<()> {
    let p = point()?;
    let plain = GroupOptions::default();
    let nothing = Adam::new(&p, 0.1)?.group(|name| name == "bais", plain);
    let text = nothing.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains("at, bias"), "{text}");
    assert_eq!(kind(nothing), Some(ErrorKind::Argument));
    let twice = Adam::new(&p, 0.1)?.group(|name| name == "at", plain)?.group(|_| true, plain);
    assert_eq!(kind(twice), Some(ErrorKind::Argument));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let options = GroupOptions { lr_scale: bad, weight_decay: None };
        assert_eq!(kind(Adam::new(&p, 0.1)?.group(|_| true, options)), Some(ErrorKind::Argument));
        let options = GroupOptions { lr_scale: 1.0, weight_decay: Some(bad) };
        assert_eq!(kind(Adam::new(&p, 0.1)?.group(|_| true, options)), Some(ErrorKind::Argument));
    }
    Ok(())
}

#[test]
fn other_optimizers_and_their_bad_arguments() -> Result<()> {
    // One step with g = 2 from 1: by 0.1/√0.01 of g/|g|, by 0.1·2/√(4 + 5), by 0.1.
    let p = point()?;
    RmsProp::new(&p, 0.1)?.step(&gradients(&p, 2.0)?)?;
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[0.0, 0.0]);
    let p = point()?;
    Adagrad::new(&p, 0.1)?.initial(5.0)?.step(&gradients(&p, 2.0)?)?;
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[1.0 - 0.2 / 3.0; 2]);
    let p = point()?;
    Lion::new(&p, 0.1)?.step(&gradients(&p, 2.0)?)?;
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[0.9, 0.9]);

    let bad = Some(ErrorKind::Argument);
    for x in [-0.1, 1.0, f64::NAN] {
        assert_eq!(kind(RmsProp::new(&p, 0.1)?.alpha(x)), bad);
        assert_eq!(kind(RmsProp::new(&p, 0.1)?.momentum(x)), bad);
        assert_eq!(kind(Lion::new(&p, 0.1)?.betas(x, 0.5)), bad);
        assert_eq!(kind(Lion::new(&p, 0.1)?.betas(0.5, x)), bad);
    }
    for x in [0.0, -1.0, f64::NAN, 1e-50] {
        assert_eq!(kind(RmsProp::new(&p, 0.1)?.epsilon(x)), bad);
        assert_eq!(kind(Adagrad::new(&p, 0.1)?.epsilon(x)), bad);
    }
    assert_eq!(kind(Adagrad::new(&p, 0.1)?.initial(-1.0)), bad);
    assert_eq!(kind(Ema::new(&p, 1.0)), bad);
    Ok(())
}

/// A run that is saved after three steps and goes on in another model.
fn resumes<O: Optimizer + State>(make: impl Fn(&Point) -> Result<O>) -> Result<()> {
    let p = point()?;
    let optimizer = make(&p)?;
    for i in 0..3 {
        optimizer.set_lr(0.1 / f64::from(i + 1))?;
        optimizer.step(&gradients(&p, 1.0 + i as f32)?)?;
    }
    let saved: Vec<(String, Vec<f32>, f64)> = StateVisitor::over(&optimizer)
        .into_iter()
        .map(|(name, entry)| {
            Ok(match entry {
                StateEntry::Tensor(tensor) => (name, tensor.to_vec()?, 0.0),
                StateEntry::Real(real) => (name, Vec::new(), real.get()),
                StateEntry::Count(count) => (name, Vec::new(), count.get() as f64),
                StateEntry::Setting(value) => (name, Vec::new(), value as f64),
            })
        })
        .collect::<Result<_>>()?;
    let q = point()?;
    let other = make(&q)?;
    q.parameters()?.values().assign(p.parameters()?.values())?;
    for ((name, entry), (saved, values, number)) in StateVisitor::over(&other).iter().zip(&saved) {
        assert_eq!(name, saved);
        match entry {
            StateEntry::Tensor(tensor) => {
                tensor.assign(&Tensor::from_vec(
                    values.clone(),
                    tensor.shape(),
                    &Device::cpu(),
                )?)?;
            }
            StateEntry::Real(real) => real.set(*number),
            StateEntry::Count(count) => count.set(*number as u64),
            StateEntry::Setting(_) => {}
        }
    }
    assert_eq!(other.lr(), optimizer.lr());
    for (optimizer, p) in [(&optimizer, &p), (&other, &q)] {
        optimizer.step(&gradients(p, 0.3)?)?;
    }
    let values = |p: &Point| p.parameters()?.values().to_vec::<f32>();
    assert_eq!(values(&p)?, values(&q)?);
    Ok(())
}

#[test]
fn optimizers_go_on_from_their_state() -> Result<()> {
    resumes(|p| Sgd::new(p, 0.1)?.momentum(0.9))?;
    resumes(|p| AdamW::new(p, 0.1))?;
    resumes(|p| Adam::new(p, 0.1)?.group(|name| name == "bias", GroupOptions::default()))?;
    resumes(|p| RmsProp::new(p, 0.1)?.centered()?.momentum(0.5))?;
    resumes(|p| Adagrad::new(p, 0.1))?;
    resumes(|p| Lion::new(p, 0.1))
}

fn rates(schedule: &Schedule, steps: &[u64], want: &[f64]) {
    for (&step, want) in steps.iter().zip(want) {
        let lr = schedule.lr(step);
        assert!(
            tolerance::of("schedule").allows(lr, *want),
            "{schedule:?} at {step}: {lr}, not {want}"
        );
    }
}

#[test]
fn schedules_by_hand() -> Result<()> {
    rates(&Schedule::constant(0.3)?, &[0, 9, u64::MAX], &[0.3; 3]);
    rates(&Schedule::step(1.0, 3, 0.1)?, &[0, 2, 3, 5, 6], &[1.0, 1.0, 0.1, 0.1, 0.01]);
    rates(&Schedule::exponential(2.0, 0.5)?, &[0, 1, 3], &[2.0, 1.0, 0.25]);
    let half = 0.5f64.sqrt();
    let cosine = Schedule::cosine(1.0, 8, 0.2)?;
    let want = [1.0, 0.2 + 0.4 * (1.0 + half), 0.6, 0.2 + 0.4 * (1.0 - half), 0.2, 0.2];
    rates(&cosine, &[0, 2, 4, 6, 8, 1000], &want);
    let warm = cosine.warmup(4)?;
    rates(&warm, &[0, 1, 3, 4, 8, 12], &[0.2, 0.4, 0.8, 1.0, 0.6, 0.2]);
    // PyTorch's OneCycleLR(max_lr=1, total_steps=10): the top at step 2, the end at step 9.
    let low = 4e-6;
    let third = low + (1.0 - low) * (1.0 + (3.0 * std::f64::consts::PI / 7.0).cos()) / 2.0;
    rates(
        &Schedule::one_cycle(1.0, 10)?,
        &[0, 1, 2, 5, 9, 99],
        &[0.04, 0.52, 1.0, third, low, low],
    );
    for (lr, steps) in [(f64::NAN, 1), (-1.0, 1), (1.0, 0)] {
        assert_eq!(kind(Schedule::cosine(lr, steps, 0.0)), Some(ErrorKind::Argument));
        assert_eq!(kind(Schedule::one_cycle(lr, steps)), Some(ErrorKind::Argument));
        assert_eq!(kind(Schedule::step(lr, steps, 0.5)), Some(ErrorKind::Argument));
    }
    assert_eq!(kind(Schedule::step(1.0, 1, -0.5)), Some(ErrorKind::Argument));
    Ok(())
}

#[test]
fn averages_follow_apply_and_restore() -> Result<()> {
    let p = point()?;
    let ema = Ema::new(&p, 0.75)?;
    let bias = || p.bias.tensor()?.to_vec::<f32>();
    p.bias.tensor()?.detach().assign(&Tensor::full_like(p.bias.tensor()?, 5.0)?)?;
    ema.update()?;
    assert_eq!(kind(ema.restore()), Some(ErrorKind::Graph));
    assert_eq!(ema.averaged(bias)?, [2.0, 2.0]);
    assert_eq!(bias()?, [5.0, 5.0]);
    ema.apply()?;
    assert_eq!(kind(ema.update()), Some(ErrorKind::Graph));
    assert_eq!(kind(ema.apply()), Some(ErrorKind::Graph));
    assert_eq!(bias()?, [2.0, 2.0]);
    ema.restore()?;
    assert_eq!(bias()?, [5.0, 5.0]);
    let failed: Result<()> = ema.averaged(|| Err(wgrad_core::Error::argument("test", "no")));
    assert!(failed.is_err());
    assert_eq!(bias()?, [5.0, 5.0]);
    Ok(())
}

/// A replay does not come by `update()`, and is refused all the same.
#[test]
fn no_recorded_step_updates_an_average_that_is_applied() -> Result<()> {
    let p = point()?;
    let ema = Ema::new(&p, 0.75)?;
    let step = Step::new(&Device::cpu(), |x| {
        ema.update()?;
        Ok(vec![x[0].try_mul(2.0)?])
    });
    let x = Tensor::ones([1], &Device::cpu())?;
    for runs in [1, 2, 1] {
        for _ in 0..runs {
            step.run(&[&x])?;
        }
        let before = ema.values()?.to_vec::<f32>()?;
        ema.apply()?;
        let refused = step.run(&[&x]);
        let text = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("restore()") && text.contains("training_tools.rs"), "{text}");
        assert_eq!(kind(refused), Some(ErrorKind::Graph));
        ema.restore()?;
        assert_eq!(ema.values()?.to_vec::<f32>()?, before);
    }
    // Also after a state was loaded that says otherwise.
    ema.apply()?;
    for (name, entry) in StateVisitor::over(&ema) {
        if let (true, StateEntry::Count(applied)) = (name == "applied", entry) {
            applied.set(0);
        }
    }
    step.run(&[&x])?;
    Ok(())
}

#[test]
fn f08_accumulated_gradients_are_a_weighted_mean() -> Result<()> {
    let p = point()?;
    let sum = GradAccumulator::new(&p)?;
    sum.add_weighted(&gradients(&p, 1.0)?, 3.0)?;
    sum.add(&gradients(&p, 5.0)?)?;
    let taken = sum.take()?;
    assert_eq!(taken.wrt(p.at.tensor()?)?.to_vec::<f32>()?, [2.0; 3]);
    assert_eq!(taken.wrt(p.bias.tensor()?)?.to_vec::<f32>()?, [2.0; 2]);
    // Nothing of it is left, not even NaN.
    sum.add(&gradients(&p, f32::NAN)?)?;
    sum.clear()?;
    sum.add(&gradients(&p, 7.0)?)?;
    assert_eq!(sum.gradients()?.wrt(p.at.tensor()?)?.to_vec::<f32>()?, [7.0; 3]);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = sum.add_weighted(&gradients(&p, 1.0)?, bad);
        assert_eq!(kind(refused), Some(ErrorKind::Argument));
    }
    let other = point()?;
    assert_eq!(kind(sum.add(&gradients(&other, 1.0)?)), Some(ErrorKind::Graph));
    Ok(())
}

#[test]
fn two_recorded_steps_share_a_loss_scale() -> Result<()> {
    // One adds micro-batches, the other applies: at replays neither closure runs.
    let (p, cpu) = (point()?, Device::cpu());
    let sgd = Sgd::new(&p, 0.1)?;
    let (scaler, sum) = (GradScaler::with(&cpu, 1024.0, 2000, 1.0)?, GradAccumulator::new(&p)?);
    let add = Step::new(&cpu, |_| {
        let loss = p.at.tensor()?.sum_all()?.try_add(&p.bias.tensor()?.sum_all()?)?;
        sum.add(&scaler.unscale(scaler.scale(&loss)?.backward()?)?)?;
        Ok(vec![loss])
    });
    let apply = Step::new(&cpu, |_| {
        scaler.step(&sgd, &sum.take()?)?;
        scaler.update()?;
        Ok(Vec::new())
    });
    for _ in 0..4 {
        for _ in 0..3 {
            add.run(&[])?;
        }
        apply.run(&[])?;
    }
    near("optimizer_steps", &p.bias.tensor()?.to_vec()?, &[0.6, 0.6]);
    assert_eq!(scaler.skipped()?, 0);
    // What became NaN is forgotten all the same.
    p.bias.tensor()?.assign(&Tensor::full([2], f64::NAN, wgrad_core::DType::F32, &cpu)?)?;
    sum.clear()?;
    sum.add(&gradients(&p, 2.0)?)?;
    let mean = sum.take()?;
    let values =
        mean.values(&p.parameters()?).ok_or_else(|| Error::internal("test", "no values"))?;
    assert!(values.to_vec::<f32>()?.iter().all(|&g| g == 2.0));
    Ok(())
}

#[test]
fn a_rate_outlives_a_group_and_a_rule_its_state() -> Result<()> {
    let p = point()?;
    let sgd = Sgd::new(&p, 0.1)?;
    sgd.set_lr(0.01)?;
    let sgd = sgd.group(|name| name == "bias", GroupOptions::default())?;
    sgd.step(&gradients(&p, 1.0)?)?;
    near("optimizer", &p.bias.tensor()?.to_vec()?, &[0.99, 0.99]);
    // Moments of one rule are not another's, though they have the same sizes.
    let setting = |state: &dyn State| {
        let found = StateVisitor::over(state).into_iter();
        found.filter(|(name, _)| name == "rule").map(|(_, e)| format!("{e:?}")).collect::<Vec<_>>()
    };
    let (a, b) = (Adagrad::new(&p, 0.1)?, RmsProp::new(&p, 0.1)?);
    assert_eq!(setting(&a).len(), 1);
    assert_ne!(setting(&a), setting(&b));
    assert_ne!(setting(&Adam::new(&p, 0.1)?), setting(&AdamW::new(&p, 0.1)?));
    Ok(())
}

#[test]
fn g05_calls_in_the_wrong_order() -> Result<()> {
    let p = point()?;
    let (sgd, scaler) = (Sgd::new(&p, 0.1)?, GradScaler::new(&Device::cpu())?);
    let loss = || p.at.tensor()?.sum_all();
    let wrong = Some(ErrorKind::Graph);
    assert_eq!(kind(scaler.update()), wrong);
    assert_eq!(kind(scaler.step(&sgd, &gradients(&p, 1.0)?)), wrong, "gradients of no scaled loss");
    let g = scaler.unscale(scaler.scale(&loss()?)?.backward()?)?;
    assert_eq!(kind(scaler.step(&sgd, &gradients(&p, 1.0)?)), wrong, "gradients of no scaled loss");
    assert_eq!(kind(scaler.update()), wrong);
    scaler.step(&sgd, &g)?;
    let late = scaler.scale(&loss()?);
    assert_eq!(kind(late), wrong, "update was forgotten");
    let g = scaler.unscale(scaler.scale(&loss()?)?.backward()?)?;
    scaler.step(&sgd, &g)?;
    scaler.update()?;
    assert_eq!(kind(scaler.step(&sgd, &g)), wrong, "no second step with them");
    for (scale, interval, floor) in [
        (3.0, 1, 1.0),
        (0.0, 1, 1.0),
        (f64::NAN, 1, 1.0),
        (-2.0, 1, 1.0),
        (2.0, 0, 1.0),
        (2.0, 1, 4.0),
        (2.0, 1, 0.0),
        (1e9, 1, 1.0),
    ] {
        let refused = GradScaler::with(&Device::cpu(), scale, interval, floor);
        assert_eq!(kind(refused), Some(ErrorKind::Argument), "{scale} {interval} {floor}");
    }
    Ok(())
}

#[test]
fn a_schedule_is_saved_and_follows() -> Result<()> {
    let p = point()?;
    let sgd = Sgd::new(&p, 9.0)?;
    let scheduler = Scheduler::new(Schedule::exponential(1.0, 0.5)?, &sgd)?;
    assert_eq!(sgd.lr(), 1.0);
    scheduler.step(&sgd)?;
    scheduler.step(&sgd)?;
    assert_eq!((sgd.lr(), scheduler.position()), (0.25, 2));
    let found = StateVisitor::over(&scheduler);
    let Some((_, StateEntry::Count(position))) = found.first() else { return Ok(()) };
    position.set(4);
    scheduler.step(&sgd)?;
    assert_eq!(sgd.lr(), 1.0 / 32.0);
    Ok(())
}

#[test]
fn unused_layers_need_no_gradient_to_be_accumulated() -> Result<()> {
    struct Two {
        used: Linear,
        spare: Linear,
    }
    module!(Two { used, spare });
    let mut init = Init::new(3);
    let two = Two { used: Linear::new(3, 2, &mut init)?, spare: Linear::new(3, 2, &mut init)? }
        .on(&Device::cpu())?;
    let sum = GradAccumulator::new(&two)?;
    sum.add(&two.used.weight.tensor()?.sum_all()?.backward()?)?;
    assert_eq!(sum.take()?.wrt(two.spare.weight.tensor()?)?.to_vec::<f32>()?, [0.0; 6]);
    Ok(())
}

/// A replay would exchange the values and leave the average's word that they are where they were.
#[test]
fn an_average_is_applied_outside_of_recorded_steps() -> Result<()> {
    let p = point()?;
    let ema = Ema::new(&p, 0.75)?;
    let x = Tensor::ones([1], &Device::cpu())?;
    let step = |f: &dyn Fn() -> Result<()>| -> Result<()> {
        let step = Step::new(&Device::cpu(), |x| {
            f()?;
            Ok(vec![x[0].try_mul(2.0)?])
        });
        (0..3).try_for_each(|_| step.run(&[&x]).map(drop))
    };
    assert_eq!(kind(step(&|| ema.apply())), Some(ErrorKind::Graph));
    let before = ema.values()?.to_vec::<f32>()?;
    p.at.tensor()?.assign(&Tensor::full([3], 9.0, DType::F32, &Device::cpu())?)?;
    let own = p.at.tensor()?.to_vec::<f32>()?;
    ema.apply()?;
    assert_eq!(kind(step(&|| ema.restore())), Some(ErrorKind::Graph));
    ema.restore()?;
    let seen = Tensor::zeros([3], &Device::cpu())?;
    step(&|| ema.averaged(|| seen.assign(p.at.tensor()?)))?;
    assert_eq!(seen.to_vec::<f32>()?, before[..3]);
    assert_eq!(p.at.tensor()?.to_vec::<f32>()?, own);
    assert_eq!(ema.values()?.to_vec::<f32>()?, before);
    Ok(())
}

/// What a step changes may be no other operand of it: a kernel would read what it has written.
#[test]
fn gradients_and_moments_have_memory_of_their_own() -> Result<()> {
    let start = vec![1.0f32, -2.0, 0.5, 3.0];
    let flat = FlatParameters::new(&[("at", &[4][..], start.clone())], &Device::cpu())?;
    let own = Gradients::from_values(&flat, flat.values().clone());
    let text = own.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains("the parameters themselves"), "{text}");
    assert_eq!(kind(own), Some(ErrorKind::Argument));

    let rule = Rule::Sgd { momentum: true, nesterov: false };
    let mut numbers = vec![0.1, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    numbers.extend(range(0, 1.0, 0.0));
    let hyper = flat.hyper(&numbers)?;
    let ones = Tensor::ones([4], &Device::cpu())?;
    let moments = flat.moments(rule)?;
    let velocity = Gradients::from_values(&flat, moments[0].clone())?;
    let refused = flat.update(rule, &velocity, &hyper, &moments);
    let text = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains("sgd: the gradients and moment 0"), "{text}");
    assert_eq!(kind(refused), Some(ErrorKind::Argument));
    let gradients = Gradients::from_values(&flat, ones)?;
    let refused = flat.update(rule, &gradients, &hyper, &[flat.values().clone()]);
    assert_eq!(kind(refused), Some(ErrorKind::Argument));
    assert_eq!(flat.values().to_vec::<f32>()?, start);
    assert_eq!(moments[0].to_vec::<f32>()?, [0.0; 4]);
    flat.update(rule, &gradients, &hyper, &moments)?;
    assert_eq!(flat.values().to_vec::<f32>()?[3], 3.0 - 0.1);
    Ok(())
}

/// An optimizer's step with a loss scale and a slope.
fn scaled(p: &Point, sgd: &Sgd, scaler: &GradScaler, slope: f32) -> Result<()> {
    let loss = p.at.tensor()?.sum_all()?.try_mul(f64::from(slope))?;
    let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
    scaler.step(sgd, &gradients)?;
    scaler.update()
}

/// The error about the floor comes with the skipped step counted: the next, good one is no skipped one.
#[test]
fn a_schedule_counts_on_after_the_error_at_the_floor() -> Result<()> {
    let p = point()?;
    let sgd = Sgd::new(&p, 0.1)?;
    let scaler = GradScaler::with(&Device::cpu(), 1.0, 3, 1.0)?;
    let scheduler = Scheduler::new(Schedule::exponential(1.0, 0.5)?, &sgd)?;
    for (slope, position, told) in [
        (1.0, 1, None),
        (f32::INFINITY, 1, Some(ErrorKind::Overflow)),
        (1.0, 2, None),
        (f32::INFINITY, 2, Some(ErrorKind::Overflow)),
        (f32::INFINITY, 2, Some(ErrorKind::Overflow)),
        (1.0, 3, None),
    ] {
        scaled(&p, &sgd, &scaler, slope)?;
        assert_eq!(kind(scheduler.step_unless_skipped(&sgd, &scaler)), told);
        assert_eq!(scheduler.position(), position);
    }
    Ok(())
}

/// What a step found that was given up is not held against the next one.
#[test]
fn a_step_that_is_given_up_leaves_no_flag() -> Result<()> {
    let p = point()?;
    let sgd = Sgd::new(&p, 0.1)?;
    let scaler = GradScaler::with(&Device::cpu(), 8.0, 3, 1.0)?;
    let unscaled = |slope: f32| {
        let loss = p.at.tensor()?.sum_all()?.try_mul(f64::from(slope))?;
        scaler.unscale(scaler.scale(&loss)?.backward()?)
    };
    let stale = unscaled(f32::INFINITY)?;
    scaler.give_up()?;
    assert_eq!(kind(scaler.step(&sgd, &stale)), Some(ErrorKind::Graph));
    scaler.step(&sgd, &unscaled(1.0)?)?;
    assert_eq!(kind(scaler.give_up()), Some(ErrorKind::Graph));
    scaler.update()?;
    let report = scaler.report()?;
    assert_eq!((report.scale, report.skipped, report.good_steps), (8.0, 0, 1));
    assert_eq!(p.at.tensor()?.to_vec::<f32>()?[0], 1.0 - 0.1);
    // In a recorded step too.
    let forget = Step::new(&Device::cpu(), |x| {
        scaler.give_up()?;
        Ok(vec![x[0].try_mul(2.0)?])
    });
    for _ in 0..3 {
        unscaled(f32::NAN)?;
        forget.run(&[&Tensor::ones([1], &Device::cpu())?])?;
    }
    scaled(&p, &sgd, &scaler, 1.0)?;
    assert_eq!(scaler.skipped()?, 0);
    // Micro-batches of one step do see each other's.
    unscaled(f32::INFINITY)?;
    scaled(&p, &sgd, &scaler, 1.0)?;
    assert_eq!(scaler.skipped()?, 1);
    Ok(())
}

/// As many ranges of as many numbers, and other members: a `Mismatch` that names them.
#[test]
fn a_state_of_other_groups_is_refused() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("groups-{}.safetensors", std::process::id()));
    let slow = GroupOptions { lr_scale: 0.5, weight_decay: None };
    let fast = GroupOptions { lr_scale: 2.0, weight_decay: None };
    let p = point()?;
    let grouped = |member: &'static str, other: &'static str| -> Result<Sgd> {
        let sgd = Sgd::new(&p, 0.1)?.momentum(0.9)?;
        sgd.group(|name| name == member, slow)?.group(|name| name == other, fast)
    };
    let kept = |sgd: &Sgd| Checkpoint::new().state("optimizer", sgd);
    kept(&grouped("at", "bias")?).save(&file)?;
    kept(&grouped("at", "bias")?).load(&file)?;
    let one = Sgd::new(&p, 0.1)?.momentum(0.9)?.group(|name| name == "at", slow)?;
    let none = Sgd::new(&p, 0.1)?.momentum(0.9)?;
    for (other, words) in [
        (grouped("bias", "at")?, "\"optimizer.group.bias\" is 2 in the file, 1 here"),
        (one, "\"optimizer.group.bias\" is 2 in the file and not set here"),
        (none, "\"optimizer.group.at\" is 1 in the file and not set here"),
    ] {
        let refused = kept(&other).load(&file);
        let text = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains(words), "{text}");
        assert_eq!(kind(refused), Some(ErrorKind::Mismatch));
    }
    std::fs::remove_file(&file)?;
    Ok(())
}

/// The streams of two devices have names of their own, in the order in which the devices were given.
#[test]
fn a_checkpoint_keeps_the_random_numbers_of_two_devices()
-> std::result::Result<(), Box<dyn std::error::Error>> {
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("devices-{}.safetensors", std::process::id()));
    let (a, b) = (Device::new(Box::new(Cpu::new())), Device::new(Box::new(Cpu::new())));
    let draw = |d: &Device| Tensor::uniform([3], 0.0, 1.0, d)?.to_vec::<f32>();
    a.seed(1)?;
    b.seed(2)?;
    let both = Checkpoint::new().device(&a).device(&b);
    both.save(&file)?;
    let first = (draw(&a)?, draw(&b)?);
    both.load(&file)?;
    assert_eq!((draw(&a)?, draw(&b)?), first);
    // One of them alone is another state.
    assert_eq!(kind(Checkpoint::new().device(&a).load(&file)), Some(ErrorKind::Mismatch));
    let twice = Checkpoint::new().device(&a).device(&b).device(&a).save(&file);
    let text = twice.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(text.contains("given twice") && text.contains("training_tools.rs"), "{text}");
    assert_eq!(kind(twice), Some(ErrorKind::Argument));
    std::fs::remove_file(&file)?;
    Ok(())
}
