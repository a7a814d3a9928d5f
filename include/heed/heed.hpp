#pragma once

/// \file
/// All of heed.

#define HEED_VERSION_MAJOR 0
#define HEED_VERSION_MINOR 1
#define HEED_VERSION_PATCH 0

#include <heed/attention/alibi.hpp>
#include <heed/attention/anti_causal.hpp>
#include <heed/attention/attention.hpp>
#include <heed/attention/attention_weights.hpp>
#include <heed/attention/bias.hpp>
#include <heed/attention/boolean_mask.hpp>
#include <heed/attention/causal.hpp>
#include <heed/attention/cumulative_lengths.hpp>
#include <heed/attention/dilated_window.hpp>
#include <heed/attention/global_window.hpp>
#include <heed/attention/gradient_maximising_scale.hpp>
#include <heed/attention/hwfa.hpp>
#include <heed/attention/input_bias.hpp>
#include <heed/attention/kerple.hpp>
#include <heed/attention/key_lengths.hpp>
#include <heed/attention/key_norm.hpp>
#include <heed/attention/log_n_scale.hpp>
#include <heed/attention/mask.hpp>
#include <heed/attention/modifier.hpp>
#include <heed/attention/noise.hpp>
#include <heed/attention/parallel_contexts.hpp>
#include <heed/attention/per_head_mask.hpp>
#include <heed/attention/positions.hpp>
#include <heed/attention/prefix_lm.hpp>
#include <heed/attention/row_measures.hpp>
#include <heed/attention/sandwich.hpp>
#include <heed/attention/scale.hpp>
#include <heed/attention/segments.hpp>
#include <heed/attention/sliding_window.hpp>
#include <heed/attention/soft_cap.hpp>
#include <heed/attention/t5_bias.hpp>
#include <heed/init/initialiser.hpp>
#include <heed/init/layer_norm.hpp>
#include <heed/init/re_zero.hpp>
#include <heed/init/rms_norm.hpp>
#include <heed/measure/cosine_entropy_floor.hpp>
#include <heed/measure/entropy.hpp>
#include <heed/measure/rank.hpp>
#include <heed/measure/softmax_gradient_size.hpp>
#include <heed/measure/sparsity.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotary_bias.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/xpos.hpp>
#include <heed/softmax/am_softmax.hpp>
#include <heed/softmax/cross_entropy.hpp>
#include <heed/softmax/entmax.hpp>
#include <heed/softmax/entmax15.hpp>
#include <heed/softmax/entropy_normalised.hpp>
#include <heed/softmax/gamma_cross_entropy.hpp>
#include <heed/softmax/gumbel_softmax.hpp>
#include <heed/softmax/l2_softmax.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/nbce.hpp>
#include <heed/softmax/perturb_max.hpp>
#include <heed/softmax/perturb_samples.hpp>
#include <heed/softmax/positive.hpp>
#include <heed/softmax/relu_squared.hpp>
#include <heed/softmax/sigmoid.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/soft_top_k.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>
#include <heed/softmax/sparse_softmax.hpp>
#include <heed/softmax/sparsemax.hpp>
#include <heed/softmax/sparsemax_loss.hpp>
#include <heed/softmax/stop_gradient_loss.hpp>
#include <heed/softmax/taylor_softmax.hpp>
