#pragma once

/// \file
/// Results of parts of a sequence become those of the whole. Nothing here knows how they travel.

#include <heed/distributed/compose.hpp>
#include <heed/distributed/merge.hpp>
