// Compiled at configuration time: does this nvcc accept the host compiler?
__global__ void demi_probe() {}
