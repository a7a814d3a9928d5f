#pragma once

/// \file
/// Every score modifier but rope/'s: what becomes of a score before the mask.

#include <heed/attention/modifiers/alibi.hpp>
#include <heed/attention/modifiers/bias.hpp>
#include <heed/attention/modifiers/kerple.hpp>
#include <heed/attention/modifiers/modifier.hpp>
#include <heed/attention/modifiers/noise.hpp>
#include <heed/attention/modifiers/relative_bias.hpp>
#include <heed/attention/modifiers/relative_scores.hpp>
#include <heed/attention/modifiers/sandwich.hpp>
#include <heed/attention/modifiers/soft_cap.hpp>
#include <heed/attention/modifiers/t5_bias.hpp>
