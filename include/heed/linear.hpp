#pragma once

/// \file
/// Linear attention: the calls, states and their gradients, denominators, decays, updates, the
/// bonus, and feature maps; and recurrent units.

#include <heed/linear/bonus.hpp>
#include <heed/linear/decays/decay.hpp>
#include <heed/linear/decays/log_decay.hpp>
#include <heed/linear/denominator.hpp>
#include <heed/linear/linear_attention.hpp>
#include <heed/linear/linear_state.hpp>
#include <heed/linear/maps/cosformer.hpp>
#include <heed/linear/maps/double_softmax.hpp>
#include <heed/linear/maps/elu_plus_one.hpp>
#include <heed/linear/maps/exp_features.hpp>
#include <heed/linear/maps/favor.hpp>
#include <heed/linear/maps/feature_map.hpp>
#include <heed/linear/maps/one_plus_cosine.hpp>
#include <heed/linear/maps/random_features.hpp>
#include <heed/linear/maps/relu.hpp>
#include <heed/linear/maps/taylor_features.hpp>
#include <heed/linear/state_gradient.hpp>
#include <heed/linear/unit_rows.hpp>
#include <heed/linear/units/linear_recurrent_unit.hpp>
#include <heed/linear/units/real_linear_recurrent_unit.hpp>
#include <heed/linear/units/rwkv.hpp>
#include <heed/linear/units/unit_initialiser.hpp>
#include <heed/linear/units/unit_state.hpp>
#include <heed/linear/updates/delta.hpp>
#include <heed/linear/updates/erase.hpp>
#include <heed/linear/updates/low_rank.hpp>
