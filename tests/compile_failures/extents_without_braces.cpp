// The compiler says: heed: heed::view takes extents and strides in braces

#include <heed/heed.hpp>

int main() {
    float memory[12] = {};
    return static_cast<int>(heed::view(memory, 4, 3).size());
}
