// cross_entropy_log: the scores are log-probabilities: they count as they are, each by itself.

fn higher(top: f32, score: f32) -> f32 { return 0.0; }

fn part_of(d: f32) -> f32 { return 0.0; }

fn log_of_parts(total: f32) -> f32 { return 0.0; }

fn probability(d: f32, total: f32) -> f32 { return 0.0; }
