#pragma once

/// \file
/// Rotary positions: frequencies, their bases, rotation alone and inside attention.

#include <heed/rope/axes.hpp>
#include <heed/rope/axial_rotary.hpp>
#include <heed/rope/base_selection.hpp>
#include <heed/rope/by_parts.hpp>
#include <heed/rope/decay_index.hpp>
#include <heed/rope/digits.hpp>
#include <heed/rope/frequencies.hpp>
#include <heed/rope/from_parameters.hpp>
#include <heed/rope/interpolation.hpp>
#include <heed/rope/llama3.hpp>
#include <heed/rope/longrope.hpp>
#include <heed/rope/mixed_radix.hpp>
#include <heed/rope/ntk.hpp>
#include <heed/rope/parameters.hpp>
#include <heed/rope/positions.hpp>
#include <heed/rope/proportional.hpp>
#include <heed/rope/rectified_rotary.hpp>
#include <heed/rope/rotary.hpp>
#include <heed/rope/rotary_bias.hpp>
#include <heed/rope/rotate.hpp>
#include <heed/rope/rotate_axes.hpp>
#include <heed/rope/rotate_by_tables.hpp>
#include <heed/rope/sinusoidal.hpp>
#include <heed/rope/xpos.hpp>
#include <heed/rope/yarn.hpp>
