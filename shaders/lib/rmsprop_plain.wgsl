// rmsprop_plain: the mean of squares as it is.

fn spread(n: vec4<f32>, at: u32, squares: elem, slope: elem) -> elem { return squares; }
