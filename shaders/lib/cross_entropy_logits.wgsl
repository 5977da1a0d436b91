// cross_entropy_logits: the scores are logits x; with d = x - top probabilities are e^d by the total of all.

fn higher(top: f32, score: f32) -> f32 { return larger(top, score); }

fn part_of(d: f32) -> f32 { return exp_or_zero(d); }

fn log_of_parts(total: f32) -> f32 { return log_or_nan(total); }

fn probability(d: f32, total: f32) -> f32 { return exp_or_zero(d) / total; }
