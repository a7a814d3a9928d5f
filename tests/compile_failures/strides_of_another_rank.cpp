// The compiler says: heed: heed::view takes as many strides as extents

#include <heed/heed.hpp>

int main() {
    float memory[12] = {};
    return static_cast<int>(heed::view(memory, {4, 3}, {3}).size());
}
