#pragma once

/// \file
/// Every normaliser, alone on rows and for attention, and the logarithms of softmax.

#include <heed/softmax/dense/entropy_normalised.hpp>
#include <heed/softmax/dense/l2_softmax.hpp>
#include <heed/softmax/dense/positive.hpp>
#include <heed/softmax/dense/relu_squared.hpp>
#include <heed/softmax/dense/sigmoid.hpp>
#include <heed/softmax/dense/taylor_softmax.hpp>
#include <heed/softmax/log_softmax.hpp>
#include <heed/softmax/log_sum_exp.hpp>
#include <heed/softmax/log_sum_exp_over.hpp>
#include <heed/softmax/noise/gumbel_softmax.hpp>
#include <heed/softmax/noise/perturb_max.hpp>
#include <heed/softmax/noise/perturb_noises.hpp>
#include <heed/softmax/noise/perturb_samples.hpp>
#include <heed/softmax/sink.hpp>
#include <heed/softmax/softmax.hpp>
#include <heed/softmax/softmax_plus_one.hpp>
#include <heed/softmax/sparse/entmax.hpp>
#include <heed/softmax/sparse/entmax15.hpp>
#include <heed/softmax/sparse/entmax_of_heads.hpp>
#include <heed/softmax/sparse/soft_top_k.hpp>
#include <heed/softmax/sparse/sparse_softmax.hpp>
#include <heed/softmax/sparse/sparsemax.hpp>
