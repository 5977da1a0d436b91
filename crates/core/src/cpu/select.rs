//! Choice by a condition: words are moved, never computed with, so nothing leaks.

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
        let choose = |c: u32, a: T, b: T| if c != 0 { a } else { b };
        runs([lc, la, lb, y.layout], |[ic, ia, ib, iy], steps, n| match steps {
            [1, 1, 1, 1] => {
                let ins = c.data[ic..ic + n].iter().zip(&a.data[ia..ia + n]).zip(&b.data[ib..ib + n]);
                for (y, ((&c, &a), &b)) in y.data[iy..iy + n].iter_mut().zip(ins) {
                    *y = choose(c, a, b);
                }
            }
            [sc, sa, sb, sy] => {
                for j in 0..n {
                    let (a, b) = (a.data[ia + j * sa], b.data[ib + j * sb]);
                    y.data[iy + j * sy] = choose(c.data[ic + j * sc], a, b);
                }
            }
        });
    });
    Ok(())
}

pub(super) fn mask(keep: bool, c: &In<'_>, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_word!(y.dtype, "mask", T => {
        let (c, x, y) = (c.of::<u32>(), x.of::<T>(), y.of::<T>());
        if keep {
            map2(c, x, y, |c, x| if c != 0 { x } else { 0 });
        } else {
            map2(c, x, y, |c, x| if c == 0 { x } else { 0 });
        }
    });
    Ok(())
}
