//! Choice by a condition: words pass or do not, through bit masks rather than branches. Nothing is
//! computed with what is not chosen, so it cannot leak.

use super::{
    number::for_word,
    operand::{In, Out, map2, runs},
};
use crate::Result;

pub(super) fn select(c: &In<'_>, a: &In<'_>, b: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_word!(y.dtype, "where", T => {
        let (c, a, b, y) = (c.of::<u32>(), a.of::<T>(), b.of::<T>(), y.of::<T>());
        let shape = y.layout.shape;
        let [lc, la, lb] = [c.layout, a.layout, b.layout].map(|x| x.stretched(shape));
        runs([lc, la, lb, y.layout], |[ic, ia, ib, iy], [sc, sa, sb, sy], n| {
            for j in 0..n {
                let pass = T::from(c.data[ic + j * sc] != 0).wrapping_neg();
                y.data[iy + j * sy] = a.data[ia + j * sa] & pass | b.data[ib + j * sb] & !pass;
            }
        });
    });
    Ok(())
}

pub(super) fn mask(keep: bool, c: &In<'_>, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_word!(y.dtype, "mask", T => {
        map2(c.of::<u32>(), x.of::<T>(), y.of(), |c, x| x & T::from((c != 0) == keep).wrapping_neg());
    });
    Ok(())
}
