#include "model_implementation.hpp"

namespace char_lm {

template class transformer<float>;

}  // namespace char_lm
