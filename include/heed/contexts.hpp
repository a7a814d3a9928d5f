#pragma once

/// \file
/// Next tokens from many contexts.

#include <heed/softmax/contexts/nbce.hpp>
