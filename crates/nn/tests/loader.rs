//! Loaders: order, position, and every way a sample can go wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use wgrad_core::{Device, Error, ErrorKind, Result, philox::Stream};
use wgrad_nn::{Array, Dataset, Loader, Rows, Samples};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

/// Its own number and a random one; what happens at some numbers is up to the test.
struct Probe<F>(usize, F);

impl<F: Fn(usize) -> Result<()> + Send + Sync> Samples for Probe<F> {
    fn len(&self) -> usize {
        self.0
    }
    fn get(&self, i: usize, random: &mut Stream) -> Result<Vec<Array>> {
        (self.1)(i)?;
        Ok(vec![Array::i32([], vec![i as i32])?, Array::f32([1], vec![random.uniform(0.0, 1.0)])?])
    }
}

/// Sleeps for a time that depends on the sample, so that threads overtake each other.
fn uneven(i: usize) -> Result<()> {
    thread::sleep(Duration::from_micros((i as u64 * 7_919) % 400));
    Ok(())
}

fn taken(loader: &Loader) -> Result<Vec<(Vec<i32>, Vec<f32>)>> {
    loader.batches().map(|batch| batch.and_then(|b| Ok((b[0].to_vec()?, b[1].to_vec()?)))).collect()
}

#[test]
fn the_order_never_depends_on_threads() -> Tested {
    let cpu = Device::cpu();
    let mut all = Vec::new();
    for (workers, ahead) in [(0, 0), (0, 2), (1, 0), (1, 3), (2, 1), (5, 2), (40, 9)] {
        let loader =
            Loader::new(Probe(103, uneven), 8, &cpu)?.shuffle(3).workers(workers).ahead(ahead);
        all.push([taken(&loader)?, taken(&loader)?]);
        assert_eq!((loader.epoch(), loader.taken()), (2, 0));
    }
    assert!(all.iter().all(|one| *one == all[0]));
    let [first, second] = &all[0];
    assert_ne!(first, second);
    assert_eq!((first.len(), first[12].0.len()), (13, 7));
    let mut numbers: Vec<i32> = first.iter().flat_map(|batch| batch.0.clone()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..103));
    // A sample's random numbers differ by sample and epoch.
    let mut random: Vec<u32> =
        first.iter().chain(second).flat_map(|b| b.1.iter().map(|x| x.to_bits())).collect();
    random.sort_unstable();
    random.dedup();
    assert!(random.len() > 200, "{}", random.len());
    // The same order as that of a Dataset's own batches.
    let labels: Vec<i32> = (0..103).collect();
    let set = Dataset::new(vec![0.0; 103], &[1], labels, 103)?;
    for (batch, ours) in set.batches(8, &cpu)?.shuffle(3, 1).zip(second) {
        assert_eq!(batch?.1.to_vec::<i32>()?, ours.0);
    }
    let loader = Loader::new(set, 8, &cpu)?;
    let batch = loader.batches().next().ok_or("none")??;
    assert_eq!((batch[0].shape(), batch[1].shape()), (&[8, 1][..], &[8][..]));
    Ok(())
}

#[test]
fn sizes_and_policies() -> Tested {
    let cpu = Device::cpu();
    let sizes = |loader: &Loader| -> Result<Vec<usize>> {
        Ok(taken(loader)?.into_iter().map(|batch| batch.0.len()).collect())
    };
    let new = |count, size| Loader::new(Probe(count, |_| Ok(())), size, &cpu);
    assert_eq!(sizes(&new(5, 2)?)?, [2, 2, 1]);
    assert_eq!(sizes(&new(5, 2)?.drop_last())?, [2, 2]);
    assert_eq!(sizes(&new(4, 2)?.drop_last())?, [2, 2]);
    assert_eq!(sizes(&new(5, usize::MAX)?)?, [5]);
    let none = new(5, 9)?.drop_last();
    assert_eq!((sizes(&none)?, none.epoch()), (vec![], 1));
    assert_eq!(new(5, 0).err().map(|e| e.kind()), Some(ErrorKind::Argument));
    assert_eq!(new(0, 2).err().map(|e| e.kind()), Some(ErrorKind::Empty));
    if cfg!(target_pointer_width = "64") {
        assert_eq!(new(1 << 33, 2).err().map(|e| e.kind()), Some(ErrorKind::Size));
    }
    Ok(())
}

#[test]
fn it_goes_on_where_it_stopped() -> Tested {
    let cpu = Device::cpu();
    for workers in [0, 3] {
        let new =
            || Ok::<_, Error>(Loader::new(Probe(20, uneven), 3, &cpu)?.shuffle(1).workers(workers));
        let whole = taken(&new()?)?;
        let parts = new()?;
        let mut got = Vec::new();
        for count in [0, 1, 3, 2] {
            for batch in parts.batches().take(count) {
                let batch = batch?;
                got.push((batch[0].to_vec::<i32>()?, batch[1].to_vec::<f32>()?));
            }
            assert_eq!(parts.taken(), got.len() as u64);
        }
        got.extend(taken(&parts)?);
        assert_eq!(got, whole);
        assert_eq!((parts.epoch(), parts.taken()), (1, 0));
    }
    Ok(())
}

/// The error of an epoch, and how many batches came before it.
fn failing(loader: &Loader) -> (usize, Option<Error>) {
    let mut good = 0;
    let mut batches = loader.batches();
    for batch in &mut batches {
        match batch {
            Ok(_) => good += 1,
            Err(error) => {
                assert!(batches.next().is_none(), "an epoch ends with its error");
                return (good, Some(error));
            }
        }
    }
    (good, None)
}

/// I6, I7: errors and panics name the sample and the cause; what came before is given out; the next try begins at
/// the same batch.
#[test]
fn bad_samples() -> Tested {
    let cpu = Device::cpu();
    for workers in [0, 1, 4] {
        let broken = Arc::new(AtomicBool::new(true));
        let flag = broken.clone();
        let reader = move |i| match i {
            17 if flag.load(Ordering::Relaxed) => Err(Error::format("png", "cat.png: truncated")),
            _ => Ok(()),
        };
        let loader = Loader::new(Probe(40, reader), 5, &cpu)?.workers(workers);
        let (good, error) = failing(&loader);
        let text = error.as_ref().map(Error::to_string).unwrap_or_default();
        assert_eq!((good, error.map(|e| e.kind())), (3, Some(ErrorKind::Data)));
        assert!(text.contains("sample 17") && text.contains("cat.png: truncated"), "{text}");
        assert_eq!(failing(&loader).0, 0);
        broken.store(false, Ordering::Relaxed);
        assert_eq!(taken(&loader)?.len(), 5);

        let reader = |i| if i == 8 { panic!("the {i}th is odd") } else { Ok(()) };
        let (good, error) = failing(&Loader::new(Probe(40, reader), 5, &cpu)?.workers(workers));
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(good, 1);
        assert!(text.contains("sample 8") && text.contains("panic: the 8th is odd"), "{text}");
    }

    struct Odd(Vec<Vec<Array>>);
    impl Samples for Odd {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
            Ok(self.0[i].clone())
        }
    }
    let f = |shape: &[usize]| Array::f32(shape, vec![1.0; shape.iter().product()]);
    let rows: [(Vec<Vec<Array>>, &str); 5] = [
        (
            vec![vec![f(&[2])?], vec![f(&[3])?]],
            "sample 1 has the shape [3], those before it in the batch [2] (array 0)",
        ),
        (vec![vec![f(&[2])?], vec![f(&[2, 1])?]], "sample 1 has the shape [2, 1]"),
        (vec![vec![f(&[2])?], vec![Array::i32([2], vec![0; 2])?]], "sample 1 is i32"),
        (
            vec![vec![f(&[2])?], vec![f(&[2])?, f(&[2])?]],
            "sample 1 has 2 arrays, those before it in the batch 1",
        ),
        (
            vec![vec![f(&[2])?], vec![Array::f32([2], vec![0.0, f32::NAN])?]],
            "sample 1 holds a NaN or an infinity: array 0, number 1",
        ),
    ];
    for (samples, words) in rows {
        let (_, error) = failing(&Loader::new(Odd(samples), 2, &cpu)?);
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(words), "{text:?} does not say {words:?}");
    }
    let nan = Odd(vec![vec![Array::f32([1], vec![f32::INFINITY])?]]);
    assert_eq!(failing(&Loader::new(nan, 1, &cpu)?.allow_not_finite()).0, 1);
    Ok(())
}

/// I6: a reader that blocks is an error after the time allowed, and nobody waits for it at the end.
#[test]
fn blocked_and_dropped() -> Tested {
    let cpu = Device::cpu();
    let start = Instant::now();
    let reader = |i| {
        if i == 6 {
            thread::sleep(Duration::from_secs(600));
        }
        Ok(())
    };
    let loader =
        Loader::new(Probe(40, reader), 4, &cpu)?.workers(2).timeout(Duration::from_millis(300));
    let (good, error) = failing(&loader);
    let text = error.map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(good, 1);
    assert!(text.contains("batch 1 did not come") && text.contains("at sample 6"), "{text}");
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(60));

    // Threads end soon after their epoch is dropped.
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    let reader = move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let loader = Loader::new(Probe(1_000_000, reader), 4, &cpu)?.workers(3);
    assert!(loader.batches().next().is_some());
    thread::sleep(Duration::from_millis(200));
    let before = read.load(Ordering::Relaxed);
    assert!(before < 200, "{before} samples were read, although nobody takes them");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(read.load(Ordering::Relaxed), before);
    Ok(())
}

#[test]
fn rows_that_do_not_belong_together() -> Tested {
    let f = |shape: &[usize]| Array::f32(shape, vec![1.0; shape.iter().product()]);
    let kind = |arrays| Rows::new(arrays).err().map(|e| e.kind());
    assert_eq!(kind(vec![]), Some(ErrorKind::Shape));
    assert_eq!(kind(vec![f(&[])?]), Some(ErrorKind::Shape));
    assert_eq!(kind(vec![f(&[3, 1])?, f(&[2])?]), Some(ErrorKind::Shape));
    assert_eq!(kind(vec![f(&[3, 0])?, f(&[3])?]), None);
    let empty = Rows::new(vec![f(&[3, 0])?])?;
    assert_eq!(empty.get(2, &mut Stream::new(0, 0))?[0].shape(), [0]);
    assert!(empty.get(3, &mut Stream::new(0, 0)).is_err());
    assert!(empty.split(4).is_err());
    assert_eq!(empty.split(3)?.1.len(), 0);
    Ok(())
}

/// A sample without arrays before one with some was passed over, and the batch came short.
#[test]
fn a_first_sample_without_arrays_is_not_passed_over() -> Tested {
    struct Gap;
    impl Samples for Gap {
        fn len(&self) -> usize {
            3
        }
        fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
            if i == 0 { Ok(Vec::new()) } else { Ok(vec![Array::i32([], vec![i as i32])?]) }
        }
    }
    let loader = Loader::new(Gap, 3, &Device::cpu())?.workers(0);
    let error = loader.batches().next().ok_or("none")?.err().ok_or("no error")?;
    assert!(error.message().contains("sample 1 has 1 arrays, those before it in the batch 0"));
    Ok(())
}
