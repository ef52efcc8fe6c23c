/* SPDX-License-Identifier: MIT */
#include "opcodes.h"

#include <cpuid.h>

#define ALU(base)                                                                       \
	{ 0, 0, (base) + 0, -1, MODRM | LOCKABLE },                                     \
	{ 0, 0, (base) + 1, -1, MODRM | WIDE | LOCKABLE },                              \
	{ 0, 0, (base) + 2, -1, MODRM },                                                \
	{ 0, 0, (base) + 3, -1, MODRM | WIDE },                                         \
	{ 0, 0, (base) + 4, -1, IMM8 }, { 0, 0, (base) + 5, -1, IMMZ | WIDE }
#define ALU_IMM(n)                                                                      \
	{ 0, 0, 0x80, n, MODRM | IMM8 | LOCKABLE },                                     \
	{ 0, 0, 0x81, n, MODRM | IMMZ | WIDE | LOCKABLE },                              \
	{ 0, 0, 0x83, n, MODRM | IMM8 | WIDE | LOCKABLE }
#define SHIFT(n)                                                                        \
	{ 0, 0, 0xc0, n, MODRM | IMM8 }, { 0, 0, 0xc1, n, MODRM | IMM8 | WIDE },        \
	{ 0, 0, 0xd0, n, MODRM }, { 0, 0, 0xd1, n, MODRM | WIDE },                      \
	{ 0, 0, 0xd2, n, MODRM }, { 0, 0, 0xd3, n, MODRM | WIDE }
#define EIGHT(map, base, how)                                                           \
	{ 0, map, (base) + 0, -1, how }, { 0, map, (base) + 1, -1, how },               \
	{ 0, map, (base) + 2, -1, how }, { 0, map, (base) + 3, -1, how },               \
	{ 0, map, (base) + 4, -1, how }, { 0, map, (base) + 5, -1, how },               \
	{ 0, map, (base) + 6, -1, how }, { 0, map, (base) + 7, -1, how }
#define SIXTEEN(map, base, how) EIGHT(map, base, how), EIGHT(map, (base) + 8, how)
#define SSE4(byte) { 0x66, 2, byte, -1, MODRM | ALIGNED | SSE41 }
#define SSE4_IMM(byte) { 0x66, 3, byte, -1, MODRM | IMM8 | ALIGNED | SSE41 }
#define EXTENDS(byte) { 0x66, 2, byte, -1, MODRM | SSE41 }
#define STRING(byte) { 0x66, 3, byte, -1, MODRM | IMM8 | ONLY_W | SSE42 }
/* The like in AVX. */
#define VFP2(byte, more)                                                                \
	{ 0, 1, byte, -1, MODRM | VEX | L256 | AVX | (more) },                          \
	{ 0x66, 1, byte, -1, MODRM | VEX | L256 | AVX | (more) }
#define VSS(byte, more)                                                                 \
	{ 0xf3, 1, byte, -1, MODRM | VEX | AVX | (more) },                              \
	{ 0xf2, 1, byte, -1, MODRM | VEX | AVX | (more) }
#define VFP4(byte, more) VFP2(byte, more), VSS(byte, NDS)
#define VFP2_IMM(byte) VFP2(byte, NDS | IMM8)
#define V38(byte, more) { 0x66, 2, byte, -1, MODRM | VEX | AVX | (more) }
#define V3A(byte, more) { 0x66, 3, byte, -1, MODRM | VEX | AVX | (more) }
#define VINT(byte) { 0x66, 1, byte, -1, MODRM | VEX | NDS | L256 | AVX2 }
#define VSHIFT(byte, n) { 0x66, 1, byte, n, MODRM | REG_ONLY | IMM8 | VEX | NDS | L256 | AVX2 }
#define W38(byte) { 0x66, 2, byte, -1, MODRM | VEX | NDS | L256 | AVX2 }
#define W38_TWO(byte) { 0x66, 2, byte, -1, MODRM | VEX | L256 | AVX2 }
#define W3A(byte, more) { 0x66, 3, byte, -1, MODRM | IMM8 | VEX | AVX2 | (more) }
#define FUSED(byte) { 0x66, 2, byte, -1, MODRM | VEX | NDS | L256 | ONLY_W | FMA }
/* With no prefix, 66, F3, F2: PS, PD, SS, SD. */
#define FP4(byte)                                                                       \
	{ 0, 1, byte, -1, MODRM | ALIGNED }, { 0x66, 1, byte, -1, MODRM | ALIGNED },    \
	{ 0xf3, 1, byte, -1, MODRM }, { 0xf2, 1, byte, -1, MODRM }
#define FP2(byte)                                                                       \
	{ 0, 1, byte, -1, MODRM | ALIGNED }, { 0x66, 1, byte, -1, MODRM | ALIGNED }
#define SSSE3_BOTH(byte)                                                                \
	{ 0x66, 2, byte, -1, MODRM | ALIGNED | SSSE3 }, { 0, 2, byte, -1, MODRM | X87 | SSSE3 }
#define MM(byte) { 0, 1, byte, -1, MODRM | X87 }
#define INT(byte) { 0x66, 1, byte, -1, MODRM | ALIGNED }

static const struct opcode opcodes[] = {
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
	ALU_IMM(0), ALU_IMM(1), ALU_IMM(2), ALU_IMM(3), ALU_IMM(4), ALU_IMM(5), ALU_IMM(6),
	ALU_IMM(7),
	{ 0, 0, 0x84, -1, MODRM }, { 0, 0, 0x85, -1, MODRM | WIDE },
	{ 0, 0, 0xa8, -1, IMM8 }, { 0, 0, 0xa9, -1, IMMZ | WIDE },
	{ 0, 0, 0xf6, 0, MODRM | IMM8 }, { 0, 0, 0xf7, 0, MODRM | IMMZ | WIDE },
	{ 0, 0, 0xf6, 2, MODRM | LOCKABLE }, { 0, 0, 0xf7, 2, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xf6, 3, MODRM | LOCKABLE }, { 0, 0, 0xf7, 3, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xf6, 4, MODRM }, { 0, 0, 0xf7, 4, MODRM | WIDE },
	{ 0, 0, 0xf6, 5, MODRM }, { 0, 0, 0xf7, 5, MODRM | WIDE },
	{ 0, 0, 0xf6, 6, MODRM }, { 0, 0, 0xf7, 6, MODRM | WIDE },
	{ 0, 0, 0xf6, 7, MODRM }, { 0, 0, 0xf7, 7, MODRM | WIDE },
	{ 0, 0, 0xfe, 0, MODRM | LOCKABLE }, { 0, 0, 0xff, 0, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xfe, 1, MODRM | LOCKABLE }, { 0, 0, 0xff, 1, MODRM | WIDE | LOCKABLE },
	EIGHT(0, 0x40, ONLY32 | WIDE), EIGHT(0, 0x48, ONLY32 | WIDE),
	SHIFT(0), SHIFT(1), SHIFT(2), SHIFT(3), SHIFT(4), SHIFT(5), SHIFT(6), SHIFT(7),
	{ 0, 1, 0xa4, -1, MODRM | IMM8 | WIDE }, { 0, 1, 0xa5, -1, MODRM | WIDE },
	{ 0, 1, 0xac, -1, MODRM | IMM8 | WIDE }, { 0, 1, 0xad, -1, MODRM | WIDE },
	{ 0, 0, 0x69, -1, MODRM | IMMZ | WIDE },
	{ 0, 0, 0x6b, -1, MODRM | IMM8 | WIDE },
	{ 0, 1, 0xaf, -1, MODRM | WIDE },
	/* moves */
	{ 0, 0, 0x86, -1, MODRM | LOCKABLE }, { 0, 0, 0x87, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0x88, -1, MODRM }, { 0, 0, 0x89, -1, MODRM | WIDE },
	{ 0, 0, 0x8a, -1, MODRM }, { 0, 0, 0x8b, -1, MODRM | WIDE },
	{ 0, 0, 0x8d, -1, MODRM | MEM_ONLY | WIDE },
	{ 0, 0, 0xc6, 0, MODRM | IMM8 }, { 0, 0, 0xc7, 0, MODRM | IMMZ | WIDE },
	EIGHT(0, 0xb0, IMM8), EIGHT(0, 0xb8, IMMV | WIDE), EIGHT(0, 0x90, WIDE),
	{ 0, 0, 0x63, -1, MODRM | WIDE | ONLY64 }, { 0, 0, 0x63, -1, MODRM | ONLY32 },
	{ 0, 1, 0xb6, -1, MODRM | WIDE }, { 0, 1, 0xb7, -1, MODRM | WIDE },
	{ 0, 1, 0xbe, -1, MODRM | WIDE }, { 0, 1, 0xbf, -1, MODRM | WIDE },
	{ 0, 2, 0xf0, -1, MODRM | MEM_ONLY | WIDE },
	{ 0, 2, 0xf1, -1, MODRM | MEM_ONLY | WIDE },
	EIGHT(1, 0xc8, ONLY_W), { 0, 0, 0xd7, -1, 0 },
	SIXTEEN(1, 0x40, MODRM | WIDE), SIXTEEN(1, 0x90, MODRM),
	EIGHT(0, 0x50, STACK), EIGHT(0, 0x58, STACK),
	{ 0, 0, 0x68, -1, IMMZ | STACK }, { 0, 0, 0x6a, -1, IMM8 | STACK },
	{ 0, 0, 0xff, 6, MODRM | STACK }, { 0, 0, 0x8f, 0, MODRM | STACK },
	{ 0, 0, 0x9c, -1, STACK }, { 0, 0, 0xc9, -1, STACK },
	{ 0, 0, 0x60, -1, ONLY32 | STACK }, { 0, 0, 0x61, -1, ONLY32 | STACK },
	/* accumulator and flags */
	{ 0, 0, 0x98, -1, WIDE }, { 0, 0, 0x99, -1, WIDE }, { 0, 0, 0x9e, -1, 0 },
	{ 0, 0, 0x9f, -1, 0 }, { 0, 0, 0xf5, -1, 0 }, { 0, 0, 0xf8, -1, 0 },
	{ 0, 0, 0xf9, -1, 0 }, { 0, 0, 0xfc, -1, RARE }, { 0, 0, 0xfd, -1, RARE },
	{ 0, 0, 0xd6, -1, ONLY32 },
	{ 0, 0, 0x27, -1, ONLY32 }, { 0, 0, 0x2f, -1, ONLY32 },
	{ 0, 0, 0x37, -1, ONLY32 },
	{ 0, 0, 0x3f, -1, ONLY32 },
	{ 0, 0, 0xd4, -1, ONLY32 | IMM8 },
	{ 0, 0, 0xd5, -1, ONLY32 | IMM8 },
	{ 0, 0, 0xce, -1, ONLY32 | RARE },
	/* bits */
	{ 0, 1, 0xa3, -1, MODRM | WIDE }, { 0, 1, 0xab, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xb3, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xbb, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 4, MODRM | IMM8 | WIDE },
	{ 0, 1, 0xba, 5, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 6, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 7, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xbc, -1, MODRM | WIDE }, { 0, 1, 0xbd, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xbc, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xbd, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xb8, -1, MODRM | WIDE },
	{ 0x66, 2, 0xf6, -1, MODRM | ONLY_W }, { 0xf3, 2, 0xf6, -1, MODRM | ONLY_W },
	{ 0, 1, 0xb0, -1, MODRM | LOCKABLE }, { 0, 1, 0xb1, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xc0, -1, MODRM | LOCKABLE }, { 0, 1, 0xc1, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xc7, 1, MODRM | MEM_ONLY | ONLY_W | LOCKABLE | ALIGNED },
	/* strings */
	{ 0, 0, 0xa4, -1, REPEATS }, { 0, 0, 0xa5, -1, REPEATS | WIDE },
	{ 0, 0, 0xa6, -1, REPEATS }, { 0, 0, 0xa7, -1, REPEATS | WIDE },
	{ 0, 0, 0xaa, -1, REPEATS }, { 0, 0, 0xab, -1, REPEATS | WIDE },
	{ 0, 0, 0xac, -1, REPEATS }, { 0, 0, 0xad, -1, REPEATS | WIDE },
	{ 0, 0, 0xae, -1, REPEATS }, { 0, 0, 0xaf, -1, REPEATS | WIDE },
	/* jumps forward */
	SIXTEEN(0, 0x70, BRANCH8), SIXTEEN(1, 0x80, BRANCH32),
	{ 0, 0, 0xe0, -1, BRANCH8 }, { 0, 0, 0xe1, -1, BRANCH8 },
	{ 0, 0, 0xe2, -1, BRANCH8 }, { 0, 0, 0xe3, -1, BRANCH8 },
	{ 0, 0, 0xe8, -1, BRANCH32 }, { 0, 0, 0xe9, -1, BRANCH32 },
	{ 0, 0, 0xeb, -1, BRANCH8 },
	/* x87: memory, but for what put_x87_special() does; registers */
	{ 0, 0, 0xd8, -1, MODRM | MEM_ONLY | X87 }, { 0, 0, 0xda, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | MEM_ONLY | X87 }, { 0, 0, 0xde, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 5, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 4, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 5, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 5, MODRM | MEM_ONLY | X87 | RARE }, { 0, 0, 0x9b, -1, X87 | RARE },
	{ 0, 0, 0xd8, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd8, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xda, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xda, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdb, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdb, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdd, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdd, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xde, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xde, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdf, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdf, -1, MODRM | REG_ONLY | X87 },
	/* MMX */
	MM(0x60), MM(0x61), MM(0x62), MM(0x63), MM(0x64), MM(0x65), MM(0x66), MM(0x67),
	MM(0x68), MM(0x69), MM(0x6a), MM(0x6b), MM(0x74), MM(0x75), MM(0x76), MM(0xd1),
	MM(0xd2), MM(0xd3), MM(0xd4), MM(0xd5), MM(0xd8), MM(0xd9), MM(0xda), MM(0xdb),
	MM(0xdc), MM(0xdd), MM(0xde), MM(0xdf), MM(0xe0), MM(0xe1), MM(0xe2), MM(0xe3),
	MM(0xe4), MM(0xe5), MM(0xe8), MM(0xe9), MM(0xea), MM(0xeb), MM(0xec), MM(0xed),
	MM(0xee), MM(0xef), MM(0xf1), MM(0xf2), MM(0xf3), MM(0xf4), MM(0xf5), MM(0xf6),
	MM(0xf8), MM(0xf9), MM(0xfa), MM(0xfb), MM(0xfc), MM(0xfd), MM(0xfe), MM(0x6f),
	MM(0x7f),
	{ 0, 1, 0x6e, -1, MODRM | ONLY_W | X87 }, { 0, 1, 0x7e, -1, MODRM | ONLY_W | X87 },
	{ 0, 1, 0x70, -1, MODRM | IMM8 | X87 }, { 0, 1, 0xc4, -1, MODRM | IMM8 | X87 },
	{ 0, 1, 0xc5, -1, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0xd7, -1, MODRM | REG_ONLY | X87 }, { 0, 1, 0xe7, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 1, 0xf7, -1, MODRM | REG_ONLY | X87 }, { 0, 1, 0x77, -1, X87 | RARE },
	{ 0xf2, 1, 0xd6, -1, MODRM | REG_ONLY | X87 },
	{ 0xf3, 1, 0xd6, -1, MODRM | REG_ONLY | X87 },
	{ 0, 1, 0x2a, -1, MODRM | REG_ONLY | X87 }, { 0x66, 1, 0x2a, -1, MODRM | X87 },
	{ 0, 1, 0x2c, -1, MODRM | X87 }, { 0x66, 1, 0x2c, -1, MODRM | ALIGNED | X87 },
	{ 0, 1, 0x2d, -1, MODRM | X87 }, { 0x66, 1, 0x2d, -1, MODRM | ALIGNED | X87 },
	{ 0, 1, 0x71, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x71, 4, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x71, 6, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 4, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 6, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x73, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x73, 6, MODRM | REG_ONLY | IMM8 | X87 },
	/* SSE3, SSSE3, AES, PCLMULQDQ */
	{ 0x66, 1, 0xd0, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0xd0, -1, MODRM | ALIGNED | SSE3 },
	{ 0x66, 1, 0x7c, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x7c, -1, MODRM | ALIGNED | SSE3 },
	{ 0x66, 1, 0x7d, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x7d, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf3, 1, 0x12, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf3, 1, 0x16, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x12, -1, MODRM | SSE3 }, { 0xf2, 1, 0xf0, -1, MODRM | MEM_ONLY | SSE3 },
	{ 0, 0, 0xdb, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	{ 0, 0, 0xdd, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	{ 0, 0, 0xdf, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	SSSE3_BOTH(0x00), SSSE3_BOTH(0x01), SSSE3_BOTH(0x02), SSSE3_BOTH(0x03),
	SSSE3_BOTH(0x04), SSSE3_BOTH(0x05), SSSE3_BOTH(0x06), SSSE3_BOTH(0x07),
	SSSE3_BOTH(0x08), SSSE3_BOTH(0x09), SSSE3_BOTH(0x0a), SSSE3_BOTH(0x0b),
	SSSE3_BOTH(0x1c), SSSE3_BOTH(0x1d), SSSE3_BOTH(0x1e),
	{ 0x66, 3, 0x0f, -1, MODRM | IMM8 | ALIGNED | SSSE3 },
	{ 0, 3, 0x0f, -1, MODRM | IMM8 | X87 | SSSE3 },
	{ 0x66, 2, 0xdb, -1, MODRM | ALIGNED | AES }, { 0x66, 2, 0xdc, -1, MODRM | ALIGNED | AES },
	{ 0x66, 2, 0xdd, -1, MODRM | ALIGNED | AES }, { 0x66, 2, 0xde, -1, MODRM | ALIGNED | AES },
	{ 0x66, 2, 0xdf, -1, MODRM | ALIGNED | AES },
	{ 0x66, 3, 0xdf, -1, MODRM | IMM8 | ALIGNED | AES },
	{ 0x66, 3, 0x44, -1, MODRM | IMM8 | ALIGNED | PCLMUL },
	/* SSE4 */
	SSE4(0x10), SSE4(0x14), SSE4(0x15), SSE4(0x17), SSE4(0x28), SSE4(0x29), SSE4(0x2b),
	SSE4(0x38), SSE4(0x39), SSE4(0x3a), SSE4(0x3b), SSE4(0x3c), SSE4(0x3d), SSE4(0x3e),
	SSE4(0x3f), SSE4(0x40), SSE4(0x41),
	{ 0x66, 2, 0x2a, -1, MODRM | MEM_ONLY | ALIGNED | SSE41 },
	{ 0x66, 2, 0x37, -1, MODRM | ALIGNED | SSE42 },
	EXTENDS(0x20), EXTENDS(0x21), EXTENDS(0x22), EXTENDS(0x23), EXTENDS(0x24), EXTENDS(0x25),
	EXTENDS(0x30), EXTENDS(0x31), EXTENDS(0x32), EXTENDS(0x33), EXTENDS(0x34), EXTENDS(0x35),
	SSE4_IMM(0x08), SSE4_IMM(0x09), SSE4_IMM(0x0c), SSE4_IMM(0x0d), SSE4_IMM(0x0e),
	SSE4_IMM(0x40), SSE4_IMM(0x41), SSE4_IMM(0x42),
	{ 0x66, 3, 0x0a, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x0b, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x14, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x15, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x16, -1, MODRM | IMM8 | ONLY_W | SSE41 },
	{ 0x66, 3, 0x17, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x20, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x21, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x22, -1, MODRM | IMM8 | ONLY_W | SSE41 },
	STRING(0x60), STRING(0x61), STRING(0x62), STRING(0x63),
	{ 0xf2, 2, 0xf0, -1, MODRM | ONLY_W | SSE42 },
	{ 0xf2, 2, 0xf1, -1, MODRM | ONLY_W | SSE42 },
	/* SHA */
	{ 0, 2, 0xc8, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xc9, -1, MODRM | ALIGNED | SHA },
	{ 0, 2, 0xca, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xcb, -1, MODRM | ALIGNED | SHA },
	{ 0, 2, 0xcc, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xcd, -1, MODRM | ALIGNED | SHA },
	{ 0, 3, 0xcc, -1, MODRM | IMM8 | ALIGNED | SHA },
	/* BMI1, BMI2 */
	{ 0, 2, 0xf2, -1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 2, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 3, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf3, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf6, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0x66, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf3, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 3, 0xf0, -1, MODRM | IMM8 | ONLY_W | VEX | BMI2 },
	/* AVX: floating point */
	VFP4(0x51, 0), VFP4(0x58, NDS), VFP4(0x59, NDS), VFP4(0x5c, NDS), VFP4(0x5d, NDS),
	VFP4(0x5e, NDS), VFP4(0x5f, NDS), VFP2(0x14, NDS), VFP2(0x15, NDS), VFP2(0x54, NDS),
	VFP2(0x55, NDS), VFP2(0x56, NDS), VFP2(0x57, NDS), VFP2(0x5a, 0), VSS(0x5a, NDS),
	VFP2_IMM(0xc2), VFP2_IMM(0xc6),
	{ 0xf3, 1, 0xc2, -1, MODRM | IMM8 | VEX | NDS | AVX },
	{ 0xf2, 1, 0xc2, -1, MODRM | IMM8 | VEX | NDS | AVX },
	{ 0, 1, 0x2e, -1, MODRM | VEX | AVX }, { 0x66, 1, 0x2e, -1, MODRM | VEX | AVX },
	{ 0, 1, 0x2f, -1, MODRM | VEX | AVX }, { 0x66, 1, 0x2f, -1, MODRM | VEX | AVX },
	{ 0, 1, 0x52, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0x52, -1, MODRM | VEX | NDS | AVX },
	{ 0, 1, 0x53, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0x53, -1, MODRM | VEX | NDS | AVX },
	{ 0x66, 1, 0xd0, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0xf2, 1, 0xd0, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0x66, 1, 0x7c, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0xf2, 1, 0x7c, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0x66, 1, 0x7d, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0xf2, 1, 0x7d, -1, MODRM | VEX | NDS | L256 | AVX },
	{ 0, 1, 0x5b, -1, MODRM | VEX | L256 | AVX },
	{ 0x66, 1, 0x5b, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0x5b, -1, MODRM | VEX | L256 | AVX },
	{ 0x66, 1, 0xe6, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0xe6, -1, MODRM | VEX | L256 | AVX },
	{ 0xf2, 1, 0xe6, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0x2a, -1, MODRM | ONLY_W | VEX | NDS | AVX },
	{ 0xf2, 1, 0x2a, -1, MODRM | ONLY_W | VEX | NDS | AVX },
	{ 0xf3, 1, 0x2c, -1, MODRM | ONLY_W | VEX | AVX },
	{ 0xf2, 1, 0x2c, -1, MODRM | ONLY_W | VEX | AVX },
	{ 0xf3, 1, 0x2d, -1, MODRM | ONLY_W | VEX | AVX },
	{ 0xf2, 1, 0x2d, -1, MODRM | ONLY_W | VEX | AVX },
	V3A(0x08, IMM8 | L256), V3A(0x09, IMM8 | L256), V3A(0x0a, IMM8 | NDS),
	V3A(0x0b, IMM8 | NDS), V3A(0x40, IMM8 | NDS | L256), V3A(0x41, IMM8 | NDS),
	{ 0, 1, 0xae, 2, MODRM | MEM_ONLY | RARE | VEX | AVX },
	{ 0, 1, 0xae, 3, MODRM | MEM_ONLY | VEX | AVX },
	/* AVX: moves, shuffles */
	VFP2(0x10, 0), VFP2(0x11, 0), VFP2(0x28, ALIGNED), VFP2(0x29, ALIGNED),
	{ 0xf3, 1, 0x10, -1, MODRM | REG_ONLY | VEX | NDS | AVX },
	{ 0xf2, 1, 0x10, -1, MODRM | REG_ONLY | VEX | NDS | AVX },
	{ 0xf3, 1, 0x11, -1, MODRM | REG_ONLY | VEX | NDS | AVX },
	{ 0xf2, 1, 0x11, -1, MODRM | REG_ONLY | VEX | NDS | AVX },
	{ 0xf3, 1, 0x10, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0xf2, 1, 0x10, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0xf3, 1, 0x11, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0xf2, 1, 0x11, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0x66, 1, 0x6f, -1, MODRM | ALIGNED | VEX | L256 | AVX },
	{ 0xf3, 1, 0x6f, -1, MODRM | VEX | L256 | AVX },
	{ 0x66, 1, 0x7f, -1, MODRM | ALIGNED | VEX | L256 | AVX },
	{ 0xf3, 1, 0x7f, -1, MODRM | VEX | L256 | AVX },
	{ 0, 1, 0x2b, -1, MODRM | MEM_ONLY | ALIGNED | VEX | L256 | AVX },
	{ 0x66, 1, 0xe7, -1, MODRM | MEM_ONLY | ALIGNED | VEX | L256 | AVX },
	{ 0xf2, 1, 0xf0, -1, MODRM | MEM_ONLY | VEX | L256 | AVX },
	{ 0, 1, 0x12, -1, MODRM | VEX | NDS | AVX }, { 0, 1, 0x16, -1, MODRM | VEX | NDS | AVX },
	{ 0x66, 1, 0x12, -1, MODRM | MEM_ONLY | VEX | NDS | AVX },
	{ 0x66, 1, 0x16, -1, MODRM | MEM_ONLY | VEX | NDS | AVX },
	{ 0, 1, 0x13, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0x66, 1, 0x17, -1, MODRM | MEM_ONLY | VEX | AVX },
	{ 0xf3, 1, 0x12, -1, MODRM | VEX | L256 | AVX },
	{ 0xf3, 1, 0x16, -1, MODRM | VEX | L256 | AVX },
	{ 0xf2, 1, 0x12, -1, MODRM | VEX | L256 | AVX },
	{ 0x66, 1, 0x6e, -1, MODRM | ONLY_W | VEX | AVX },
	{ 0x66, 1, 0x7e, -1, MODRM | ONLY_W | VEX | AVX },
	{ 0xf3, 1, 0x7e, -1, MODRM | VEX | AVX }, { 0x66, 1, 0xd6, -1, MODRM | VEX | AVX },
	{ 0, 1, 0x50, -1, MODRM | REG_ONLY | VEX | L256 | AVX },
	{ 0x66, 1, 0x50, -1, MODRM | REG_ONLY | VEX | L256 | AVX },
	{ 0x66, 1, 0xc4, -1, MODRM | IMM8 | VEX | NDS | AVX },
	{ 0x66, 1, 0xc5, -1, MODRM | REG_ONLY | IMM8 | VEX | AVX },
	{ 0, 1, 0x77, -1, VEX | L256 | AVX },
	V3A(0x14, IMM8), V3A(0x15, IMM8), V3A(0x16, IMM8 | ONLY_W), V3A(0x17, IMM8),
	V3A(0x20, IMM8 | NDS), V3A(0x21, IMM8 | NDS), V3A(0x22, IMM8 | NDS | ONLY_W),
	V3A(0x04, IMM8 | L256), V3A(0x05, IMM8 | L256), V3A(0x06, IMM8 | NDS | ONLY_L256),
	V3A(0x18, IMM8 | NDS | ONLY_L256), V3A(0x19, IMM8 | ONLY_L256),
	V3A(0x0c, IMM8 | NDS | L256), V3A(0x0d, IMM8 | NDS | L256),
	V3A(0x4a, IMM8 | NDS | L256), V3A(0x4b, IMM8 | NDS | L256),
	V38(0x0c, NDS | L256), V38(0x0d, NDS | L256), V38(0x0e, L256), V38(0x0f, L256),
	V38(0x17, L256), V38(0x18, MEM_ONLY | L256), V38(0x19, MEM_ONLY | ONLY_L256),
	V38(0x1a, MEM_ONLY | ONLY_L256), V38(0x41, 0),
	V38(0x2c, MEM_ONLY | NDS | L256), V38(0x2d, MEM_ONLY | NDS | L256),
	V38(0x2e, MEM_ONLY | NDS | L256), V38(0x2f, MEM_ONLY | NDS | L256),
	V3A(0x60, IMM8 | ONLY_W), V3A(0x61, IMM8 | ONLY_W), V3A(0x62, IMM8), V3A(0x63, IMM8),
	V3A(0x44, IMM8 | NDS), V3A(0xdf, IMM8), V38(0xdb, 0), V38(0xdc, NDS), V38(0xdd, NDS),
	V38(0xde, NDS), V38(0xdf, NDS),
	/* AVX2: integers; of 128 bits they are AVX */
	VINT(0x60), VINT(0x61), VINT(0x62), VINT(0x63), VINT(0x64), VINT(0x65), VINT(0x66),
	VINT(0x67), VINT(0x68), VINT(0x69), VINT(0x6a), VINT(0x6b), VINT(0x6c), VINT(0x6d),
	VINT(0x74), VINT(0x75), VINT(0x76), VINT(0xd1), VINT(0xd2), VINT(0xd3), VINT(0xd4),
	VINT(0xd5), VINT(0xd8), VINT(0xd9), VINT(0xda), VINT(0xdb), VINT(0xdc), VINT(0xdd),
	VINT(0xde), VINT(0xdf), VINT(0xe0), VINT(0xe1), VINT(0xe2), VINT(0xe3), VINT(0xe4),
	VINT(0xe5), VINT(0xe8), VINT(0xe9), VINT(0xea), VINT(0xeb), VINT(0xec), VINT(0xed),
	VINT(0xee), VINT(0xef), VINT(0xf1), VINT(0xf2), VINT(0xf3), VINT(0xf4), VINT(0xf5),
	VINT(0xf6), VINT(0xf8), VINT(0xf9), VINT(0xfa), VINT(0xfb), VINT(0xfc), VINT(0xfd),
	VINT(0xfe),
	{ 0x66, 1, 0xd7, -1, MODRM | REG_ONLY | VEX | L256 | AVX2 },
	{ 0x66, 1, 0x70, -1, MODRM | IMM8 | VEX | L256 | AVX2 },
	{ 0xf3, 1, 0x70, -1, MODRM | IMM8 | VEX | L256 | AVX2 },
	{ 0xf2, 1, 0x70, -1, MODRM | IMM8 | VEX | L256 | AVX2 },
	VSHIFT(0x71, 2), VSHIFT(0x71, 4), VSHIFT(0x71, 6), VSHIFT(0x72, 2), VSHIFT(0x72, 4),
	VSHIFT(0x72, 6), VSHIFT(0x73, 2), VSHIFT(0x73, 3), VSHIFT(0x73, 6), VSHIFT(0x73, 7),
	W38(0x00), W38(0x01), W38(0x02), W38(0x03), W38(0x04), W38(0x05), W38(0x06), W38(0x07),
	W38(0x08), W38(0x09), W38(0x0a), W38(0x0b), W38(0x28), W38(0x29), W38(0x2b), W38(0x37),
	W38(0x38), W38(0x39), W38(0x3a), W38(0x3b), W38(0x3c), W38(0x3d), W38(0x3e), W38(0x3f),
	W38(0x40),
	W38_TWO(0x1c), W38_TWO(0x1d), W38_TWO(0x1e), W38_TWO(0x20), W38_TWO(0x21), W38_TWO(0x22),
	W38_TWO(0x23), W38_TWO(0x24), W38_TWO(0x25), W38_TWO(0x30), W38_TWO(0x31), W38_TWO(0x32),
	W38_TWO(0x33), W38_TWO(0x34), W38_TWO(0x35), W38_TWO(0x58), W38_TWO(0x59), W38_TWO(0x78),
	W38_TWO(0x79), W38_TWO(0x18),
	{ 0x66, 2, 0x19, -1, MODRM | REG_ONLY | VEX | ONLY_L256 | AVX2 },
	{ 0x66, 2, 0x5a, -1, MODRM | MEM_ONLY | VEX | ONLY_L256 | AVX2 },
	{ 0x66, 2, 0x2a, -1, MODRM | MEM_ONLY | ALIGNED | VEX | L256 | AVX2 },
	{ 0x66, 2, 0x16, -1, MODRM | VEX | NDS | ONLY_L256 | AVX2 },
	{ 0x66, 2, 0x36, -1, MODRM | VEX | NDS | ONLY_L256 | AVX2 },
	{ 0x66, 2, 0x45, -1, MODRM | VEX | NDS | L256 | AVX2 },
	{ 0x66, 2, 0x45, -1, MODRM | VEX | NDS | L256 | ONLY_W1 | AVX2 },
	{ 0x66, 2, 0x46, -1, MODRM | VEX | NDS | L256 | AVX2 },
	{ 0x66, 2, 0x47, -1, MODRM | VEX | NDS | L256 | AVX2 },
	{ 0x66, 2, 0x47, -1, MODRM | VEX | NDS | L256 | ONLY_W1 | AVX2 },
	{ 0x66, 2, 0x8c, -1, MODRM | MEM_ONLY | VEX | NDS | L256 | ONLY_W | AVX2 },
	{ 0x66, 2, 0x8e, -1, MODRM | MEM_ONLY | VEX | NDS | L256 | ONLY_W | AVX2 },
	W3A(0x00, ONLY_L256 | ONLY_W1), W3A(0x01, ONLY_L256 | ONLY_W1), W3A(0x02, NDS | L256),
	W3A(0x0e, NDS | L256), W3A(0x0f, NDS | L256), W3A(0x42, NDS | L256),
	W3A(0x38, NDS | ONLY_L256), W3A(0x39, ONLY_L256), W3A(0x46, NDS | ONLY_L256),
	W3A(0x4c, NDS | L256),
	/* F16C, FMA */
	{ 0x66, 2, 0x13, -1, MODRM | VEX | L256 | F16C },
	/* To memory: which is first, a page fault or #XM, is the processor's. */
	{ 0x66, 3, 0x1d, -1, MODRM | REG_ONLY | IMM8 | VEX | L256 | F16C },
	FUSED(0x96), FUSED(0x97), FUSED(0x98), FUSED(0x99), FUSED(0x9a), FUSED(0x9b), FUSED(0x9c),
	FUSED(0x9d), FUSED(0x9e), FUSED(0x9f), FUSED(0xa6), FUSED(0xa7), FUSED(0xa8), FUSED(0xa9),
	FUSED(0xaa), FUSED(0xab), FUSED(0xac), FUSED(0xad), FUSED(0xae), FUSED(0xaf), FUSED(0xb6),
	FUSED(0xb7), FUSED(0xb8), FUSED(0xb9), FUSED(0xba), FUSED(0xbb), FUSED(0xbc), FUSED(0xbd),
	FUSED(0xbe), FUSED(0xbf),
	/* SSE and SSE2: floating point */
	FP4(0x51), FP4(0x58), FP4(0x59), FP4(0x5a), FP4(0x5c), FP4(0x5d), FP4(0x5e), FP4(0x5f),
	FP2(0x14), FP2(0x15), FP2(0x54), FP2(0x55), FP2(0x56), FP2(0x57), FP2(0x2e), FP2(0x2f),
	{ 0, 1, 0x52, -1, MODRM | ALIGNED }, { 0xf3, 1, 0x52, -1, MODRM },
	{ 0, 1, 0x53, -1, MODRM | ALIGNED }, { 0xf3, 1, 0x53, -1, MODRM },
	{ 0, 1, 0xc2, -1, MODRM | IMM8 | ALIGNED },
	{ 0x66, 1, 0xc2, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf3, 1, 0xc2, -1, MODRM | IMM8 }, { 0xf2, 1, 0xc2, -1, MODRM | IMM8 },
	{ 0, 1, 0x5b, -1, MODRM | ALIGNED }, { 0x66, 1, 0x5b, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x5b, -1, MODRM | ALIGNED }, { 0x66, 1, 0xe6, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0xe6, -1, MODRM }, { 0xf2, 1, 0xe6, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x2a, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2a, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x2c, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2c, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x2d, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2d, -1, MODRM | ONLY_W },
	{ 0, 1, 0xae, 2, MODRM | MEM_ONLY | RARE }, { 0, 1, 0xae, 3, MODRM | MEM_ONLY },
	/* moves */
	FP4(0x10), FP4(0x11), FP2(0x28), FP2(0x29), { 0x66, 1, 0x6f, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x6f, -1, MODRM }, { 0x66, 1, 0x7f, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x7f, -1, MODRM }, { 0, 1, 0x2b, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0x66, 1, 0x2b, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0x66, 1, 0xe7, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0, 1, 0xc3, -1, MODRM | MEM_ONLY | ONLY_W },
	{ 0, 1, 0x12, -1, MODRM }, { 0, 1, 0x16, -1, MODRM },
	{ 0x66, 1, 0x12, -1, MODRM | MEM_ONLY }, { 0x66, 1, 0x16, -1, MODRM | MEM_ONLY },
	{ 0, 1, 0x13, -1, MODRM | MEM_ONLY }, { 0, 1, 0x17, -1, MODRM | MEM_ONLY },
	{ 0x66, 1, 0x13, -1, MODRM | MEM_ONLY }, { 0x66, 1, 0x17, -1, MODRM | MEM_ONLY },
	{ 0x66, 1, 0x6e, -1, MODRM | ONLY_W }, { 0x66, 1, 0x7e, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x7e, -1, MODRM }, { 0x66, 1, 0xd6, -1, MODRM },
	{ 0, 1, 0x50, -1, MODRM | REG_ONLY }, { 0x66, 1, 0x50, -1, MODRM | REG_ONLY },
	{ 0x66, 1, 0xd7, -1, MODRM | REG_ONLY }, { 0x66, 1, 0xc4, -1, MODRM | IMM8 },
	{ 0x66, 1, 0xc5, -1, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0xf7, -1, MODRM | REG_ONLY },
	{ 0x66, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf3, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf2, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0, 1, 0xc6, -1, MODRM | IMM8 | ALIGNED },
	{ 0x66, 1, 0xc6, -1, MODRM | IMM8 | ALIGNED },
	/* integers */
	INT(0x60), INT(0x61), INT(0x62), INT(0x63), INT(0x64), INT(0x65), INT(0x66), INT(0x67),
	INT(0x68), INT(0x69), INT(0x6a), INT(0x6b), INT(0x6c), INT(0x6d), INT(0x74), INT(0x75),
	INT(0x76), INT(0xd1), INT(0xd2), INT(0xd3), INT(0xd4), INT(0xd5), INT(0xd8), INT(0xd9),
	INT(0xda), INT(0xdb), INT(0xdc), INT(0xdd), INT(0xde), INT(0xdf), INT(0xe0), INT(0xe1),
	INT(0xe2), INT(0xe3), INT(0xe4), INT(0xe5), INT(0xe8), INT(0xe9), INT(0xea), INT(0xeb),
	INT(0xec), INT(0xed), INT(0xee), INT(0xef), INT(0xf1), INT(0xf2), INT(0xf3), INT(0xf4),
	INT(0xf5), INT(0xf6), INT(0xf8), INT(0xf9), INT(0xfa), INT(0xfb), INT(0xfc), INT(0xfd),
	INT(0xfe),
	{ 0x66, 1, 0x71, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x71, 4, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x71, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 4, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 3, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 7, MODRM | REG_ONLY | IMM8 },
};

/* What not every processor of the architecture has. */
static struct {
	bool known, movbe, popcnt, bmi1, lzcnt, adx;
	uint64_t extensions;	/* as in struct opcode */
} host_has;

static void ask_host(void)
{
	unsigned int a, b, c, d;
	bool avx = false;

	host_has.known = true;
	if (__get_cpuid(1, &a, &b, &c, &d)) {
		host_has.movbe = c & bit_MOVBE;
		host_has.popcnt = c & bit_POPCNT;
		host_has.extensions = (c & bit_SSE3 ? SSE3 : 0) | (c & bit_SSSE3 ? SSSE3 : 0) |
				      (c & bit_AES ? AES : 0) | (c & bit_PCLMUL ? PCLMUL : 0) |
				      (c & bit_SSE4_1 ? SSE41 : 0) | (c & bit_SSE4_2 ? SSE42 : 0);
		avx = __builtin_cpu_supports("avx");
		if (avx)
			host_has.extensions |= AVX | (c & bit_FMA ? FMA : 0) |
					       (c & bit_F16C ? F16C : 0);
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		host_has.adx = b & bit_ADX;
		host_has.bmi1 = b & bit_BMI;
		host_has.extensions |= (b & bit_SHA ? SHA : 0) | (b & bit_BMI ? BMI1 : 0) |
				       (b & bit_BMI2 ? BMI2 : 0) |
				       (avx && b & bit_AVX2 ? AVX2 : 0);
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		host_has.lzcnt = c & bit_ABM;
}

static bool host_lacks(const struct opcode *op)
{
	if (op->how & EXTENSIONS & ~host_has.extensions)
		return true;
	if (op->map == 2 && !(op->how & VEX) && op->prefix != 0xf2 && (op->byte & 0xfe) == 0xf0)
		return !host_has.movbe;
	if (op->map == 2 && !(op->how & VEX) && op->byte == 0xf6)
		return !host_has.adx;
	if (op->map != 1 || op->prefix != 0xf3 || op->how & VEX)
		return false;
	return (op->byte == 0xb8 && !host_has.popcnt) || (op->byte == 0xbc && !host_has.bmi1) ||
	       (op->byte == 0xbd && !host_has.lzcnt);
}

const struct opcode *opcode_pick(struct rng *r)
{
	const struct opcode *op;

	if (!host_has.known)
		ask_host();
	do
		op = &opcodes[rng_below(r, sizeof(opcodes) / sizeof(*opcodes))];
	while (host_lacks(op));
	return op;
}

bool opcode_host_has(uint64_t extensions)
{
	if (!host_has.known)
		ask_host();
	return !(extensions & ~host_has.extensions);
}
