#pragma once

/// \file
/// All of heed.

#define HEED_VERSION_MAJOR 0
#define HEED_VERSION_MINOR 1
#define HEED_VERSION_PATCH 0

#include <heed/attention.hpp>
#include <heed/caches.hpp>
#include <heed/contexts.hpp>
#include <heed/distributed.hpp>
#include <heed/init.hpp>
#include <heed/latent.hpp>
#include <heed/linear.hpp>
#include <heed/losses.hpp>
#include <heed/masks.hpp>
#include <heed/measure.hpp>
#include <heed/modifiers.hpp>
#include <heed/normalisers.hpp>
#include <heed/nystrom.hpp>
#include <heed/observers.hpp>
#include <heed/projection.hpp>
#include <heed/rope.hpp>
#include <heed/sampling.hpp>
#include <heed/scales.hpp>
