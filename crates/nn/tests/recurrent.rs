//! Recurrent layers against PyTorch 2 in f64, with weights that both compute from one formula.

mod support;

use support::{fill, near, numbers};
use wgrad_core::{Device, ErrorKind, Result, Tensor};
use wgrad_nn::{Gru, GruCell, Init, Lstm, LstmCell, LstmState, Module};

const NAMES: [&str; 8] = [
    "weight_ih_l0",
    "weight_hh_l0",
    "bias_ih_l0",
    "bias_hh_l0",
    "weight_ih_l1",
    "weight_hh_l1",
    "bias_ih_l1",
    "bias_hh_l1",
];

fn parameter(module: &impl Module, name: &str) -> Result<Tensor> {
    for (known, parameter) in module.named_parameters() {
        if known == name {
            return parameter.tensor().cloned();
        }
    }
    Err(wgrad_core::Error::argument("test", format!("no parameter {name}")))
}

fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_vec::<f32>()?.into_iter().map(f64::from).collect())
}

#[test]
fn two_layers_of_long_short_term_memory() -> Result<()> {
    let lstm = Lstm::new(3, 2, 2, &mut Init::new(0))?.on(&Device::cpu())?;
    assert_eq!(lstm.names(), NAMES);
    fill(&lstm)?;
    let x = numbers(&[4, 2, 3], 9)?.requiring_grad();
    let before = LstmState { h: numbers(&[2, 2, 2], 10)?, c: numbers(&[2, 2, 2], 11)? };
    let (y, state) = lstm.run(&x, Some(&before))?;
    let outputs = [
        -0.150466097196784,
        -0.311117070840354,
        -0.109343118089798,
        -0.249654440117313,
        -0.157462895379586,
        -0.284374917810842,
        -0.158216200076054,
        -0.253954343738545,
        -0.166477931978181,
        -0.29434964669365,
        -0.190724982067205,
        -0.293982252115198,
        -0.171204373523373,
        -0.300140233014668,
        -0.187403721678212,
        -0.315488956012024,
    ];
    near(&y, &outputs)?;
    near(
        &state.h,
        &[
            0.316234913862626,
            -0.249597909015807,
            0.26163764082381,
            -0.234919345387413,
            -0.171204373523373,
            -0.300140233014668,
            -0.187403721678212,
            -0.315488956012024,
        ],
    )?;
    near(
        &state.c,
        &[
            0.657256100510578,
            -0.656998137280327,
            0.6162140630239,
            -0.66814281790454,
            -0.373717993356913,
            -0.69705484987292,
            -0.413692906081039,
            -0.75266300818689,
        ],
    )?;
    let gradients = y.backward_with(&numbers(&[4, 2, 2], 12)?)?;
    near(
        gradients.wrt(&x)?,
        &[
            -0.00257108495539241,
            0.00224933045282795,
            -0.00685580372055039,
            0.00238791709592896,
            0.00725870806428156,
            -0.0223542247692634,
            0.000529276918435021,
            -0.00237813274653069,
            0.00563603525171608,
            -0.00276245271433843,
            0.00370427134445511,
            -0.0094400251347404,
            0.00188486286807739,
            0.00147889375773215,
            -0.00471899286691847,
            -0.00288516847602032,
            0.00415559533282411,
            -0.00981616724447135,
            0.00211857503572909,
            -0.00015316451801188,
            -0.00404706937443978,
            0.003407182469326,
            0.00067090414632039,
            -0.00717071552110021,
        ],
    )?;
    near(
        gradients.wrt(&parameter(&lstm, "weight_hh_l0")?)?,
        &[
            -0.00179078512370273,
            0.00125961661164191,
            0.00012922285588848,
            -0.000270866904361031,
            -0.000465067563372587,
            0.000377513145309977,
            -0.00205725443841028,
            0.000847370420025982,
            -0.00243404751735812,
            0.00126686923871381,
            0.00903992700906379,
            -0.00450168133049138,
            -0.00302595758305031,
            0.0018235016782005,
            -0.00536732453926272,
            0.0027540161228905,
        ],
    )?;
    near(
        gradients.wrt(&parameter(&lstm, "bias_ih_l1")?)?,
        &[
            0.0444738941170924,
            -0.180987578320274,
            0.0903567605230567,
            -0.229725157712037,
            -0.381737089576994,
            0.844937553113227,
            0.125007351641795,
            -0.382547006834639,
        ],
    )?;
    // The first half and then the second, from the state between them.
    let (_, half) = lstm.run(&x.slice(0, 0..2)?, Some(&before))?;
    near(&lstm.run(&x.slice(0, 2..4)?, Some(&half))?.0, &outputs[8..])
}

#[test]
fn two_layers_of_gated_units() -> Result<()> {
    let gru = Gru::new(3, 2, 2, &mut Init::new(0))?.on(&Device::cpu())?;
    assert_eq!(gru.names(), NAMES);
    fill(&gru)?;
    let x = numbers(&[4, 2, 3], 9)?.requiring_grad();
    let (y, h) = gru.run(&x, Some(&numbers(&[2, 2, 2], 10)?))?;
    near(
        &y,
        &[
            -0.630797718323265,
            0.17487477433221,
            -0.403037291712061,
            0.35381896987972,
            -0.571881908387317,
            -0.0119241967394305,
            -0.463847886238324,
            0.161014428787466,
            -0.294544210265644,
            0.0769853582020198,
            -0.542336157748126,
            -0.00138723255673878,
            -0.112307772226028,
            0.209456201869669,
            -0.291412067011436,
            0.0963884239717896,
        ],
    )?;
    near(
        &h,
        &[
            0.381775994356307,
            -0.853332821193405,
            0.486622223530084,
            -0.719299904776186,
            -0.112307772226028,
            0.209456201869669,
            -0.291412067011436,
            0.0963884239717896,
        ],
    )?;
    let gradients = y.backward_with(&numbers(&[4, 2, 2], 12)?)?;
    near(
        gradients.wrt(&x)?,
        &[
            0.0119678127841896,
            -0.0171110946844037,
            0.0183894625969021,
            -0.0945922430912885,
            0.127743616444822,
            -0.13043841754914,
            0.0291330513071129,
            -0.0719251229277059,
            0.0508673476862052,
            -0.0229354344325733,
            0.00424686766140459,
            -0.0169914876388855,
            -0.0215598953429488,
            0.000941172897979447,
            -0.0202018345919131,
            -0.0506303878410029,
            0.0394567334573633,
            -0.0577007484249547,
            -0.0214716642448298,
            0.0127541704603727,
            -0.0204177940418879,
            -0.0341848365491638,
            0.0401428328255088,
            -0.0423807669772344,
        ],
    )?;
    near(
        gradients.wrt(&parameter(&gru, "weight_hh_l0")?)?,
        &[
            -0.00401953660446244,
            -0.00270474513329333,
            0.0016855375861662,
            -0.00596120615441402,
            0.0316301277298334,
            -0.00519242136324704,
            0.0190871904747124,
            -0.0192968348070971,
            -0.0101217340555324,
            -0.021473889038626,
            0.00931286180184344,
            -0.00633742212145066,
        ],
    )?;
    near(
        gradients.wrt(&parameter(&gru, "bias_ih_l1")?)?,
        &[
            0.109073259995527,
            -0.587391561218864,
            0.0818906274253702,
            0.263812413253675,
            -1.16516304987982,
            2.17146855362768,
        ],
    )
}

#[test]
fn a_cell_is_a_layer_of_one_place_at_a_time() -> Result<()> {
    let cpu = Device::cpu();
    let x = numbers(&[2, 5, 3], 4)?;
    let lstm = Lstm::new(3, 4, 1, &mut Init::new(0))?.batch_first().on(&cpu)?;
    let lstm_cell = LstmCell::new(3, 4, &mut Init::new(0))?.on(&cpu)?;
    let gru = Gru::new(3, 4, 1, &mut Init::new(0))?.batch_first().on(&cpu)?;
    let gru_cell = GruCell::new(3, 4, &mut Init::new(0))?.on(&cpu)?;
    fill(&lstm)?;
    fill(&lstm_cell)?;
    fill(&gru)?;
    fill(&gru_cell)?;
    let (from_lstm, last) = lstm.run(&x, None)?;
    let (from_gru, last_gru) = gru.run(&x, None)?;
    let (mut state, mut h) = (None, None);
    for t in 0..5 {
        let now = x.slice(1, t..t + 1)?.squeeze(1)?;
        let at = |y: &Tensor| y.slice(1, t..t + 1).and_then(|y| values(&y));
        let next = lstm_cell.step(&now, state.as_ref())?;
        near(&next.h, &at(&from_lstm)?)?;
        state = Some(next);
        let next = gru_cell.step(&now, h.as_ref())?;
        near(&next, &at(&from_gru)?)?;
        h = Some(next);
    }
    if let (Some(state), Some(h)) = (state, h) {
        near(&state.c, &values(&last.c)?)?;
        near(&h, &values(&last_gru)?)?;
    }
    Ok(())
}

#[test]
fn bad_arguments() -> Result<()> {
    let kind = |made: Option<wgrad_core::Error>| made.map(|e| e.kind());
    let init = &mut Init::new(0);
    for (inputs, hidden, layers) in [(0, 2, 1), (2, 0, 1), (2, 2, 0)] {
        let lstm = Lstm::new(inputs, hidden, layers, init).err();
        assert_eq!(kind(lstm), Some(ErrorKind::Argument));
        assert_eq!(kind(Gru::new(inputs, hidden, layers, init).err()), Some(ErrorKind::Argument));
    }
    let gru = Gru::new(3, 2, 2, init)?.on(&Device::cpu())?;
    let x = numbers(&[4, 2, 3], 1)?;
    let state = numbers(&[1, 2, 2], 1)?;
    assert_eq!(kind(gru.run(&x, Some(&state)).err()), Some(ErrorKind::Shape));
    assert_eq!(kind(gru.run(&x.slice(0, 0..0)?, None).err()), Some(ErrorKind::Empty));
    assert_eq!(kind(gru.run(&numbers(&[4, 3], 1)?, None).err()), Some(ErrorKind::Rank));
    assert_eq!(kind(gru.run(&numbers(&[4, 2, 5], 1)?, None).err()), Some(ErrorKind::Shape));
    let lstm = Lstm::new(3, 2, 1, init)?.on(&Device::cpu())?;
    let bad = LstmState { h: state.clone(), c: x.clone() };
    assert_eq!(kind(lstm.run(&x, Some(&bad)).err()), Some(ErrorKind::Shape));
    Ok(())
}
