"""Where every tolerance comes from: one place, with its reason."""

LOGPROBS = 1e-5  # float32, packed against plain: sums in another order
GRADIENTS = 5e-5  # relative L2 over all parameters, packed against plain
SAMPLED = 1e-4  # float32, sampled with a cache against scored whole
ACCUMULATED = 1e-6  # relative L2, float32: the same step cut into parts
ACCUMULATED_DOUBLE = 1e-12  # the same in float64
BFLOAT16_MEAN = 0.05  # mean difference of a log-probability, bfloat16 against float32
