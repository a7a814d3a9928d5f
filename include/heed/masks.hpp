#pragma once

/// \file
/// Every mask: which keys a query sees.

#include <heed/attention/masks/anti_causal.hpp>
#include <heed/attention/masks/boolean_mask.hpp>
#include <heed/attention/masks/causal.hpp>
#include <heed/attention/masks/cumulative_lengths.hpp>
#include <heed/attention/masks/dilated_window.hpp>
#include <heed/attention/masks/global_window.hpp>
#include <heed/attention/masks/hwfa.hpp>
#include <heed/attention/masks/key_lengths.hpp>
#include <heed/attention/masks/key_mask.hpp>
#include <heed/attention/masks/mask.hpp>
#include <heed/attention/masks/parallel_contexts.hpp>
#include <heed/attention/masks/per_head_mask.hpp>
#include <heed/attention/masks/prefix_lm.hpp>
#include <heed/attention/masks/segments.hpp>
#include <heed/attention/masks/sliding_window.hpp>
