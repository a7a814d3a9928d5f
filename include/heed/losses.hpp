#pragma once

/// \file
/// Every loss on rows of logits.

#include <heed/softmax/losses/am_softmax.hpp>
#include <heed/softmax/losses/cross_entropy.hpp>
#include <heed/softmax/losses/entmax_loss.hpp>
#include <heed/softmax/losses/gamma_cross_entropy.hpp>
#include <heed/softmax/losses/soft_cross_entropy.hpp>
#include <heed/softmax/losses/sparse_softmax_cross_entropy.hpp>
#include <heed/softmax/losses/sparsemax_loss.hpp>
#include <heed/softmax/losses/stop_gradient_loss.hpp>
#include <heed/softmax/losses/weighted_cross_entropy.hpp>
