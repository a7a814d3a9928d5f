#pragma once

/// \file
/// Linear layers whose rows do not depend on one another.

#include <heed/projection/packed_weights.hpp>
#include <heed/projection/project.hpp>
#include <heed/projection/project_backward.hpp>
#include <heed/projection/weights.hpp>
