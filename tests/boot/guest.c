// SPDX-License-Identifier: MIT
/*
 * Runs in the guest, and on the host for comparison: `guest NAME` for each of the programs in
 * main().  What it prints is the same wherever it runs.
 */
#include <emmintrin.h>
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static void must(int right, const char *what)
{
	if (right)
		return;
	printf("guest: wrong: %s\n", what);
	exit(1);
}

/* Threads that map, protect, fork and unmap. */

enum { THREADS = 4, ROUNDS = 20, PAGES = 64 };

static _Thread_local sigjmp_buf refused;

static void on_refusal(int signal)
{
	(void)signal;
	siglongjmp(refused, 1);
}

static int is_refused(volatile uint64_t *word)
{
	if (sigsetjmp(refused, 1))
		return 1;
	*word = 1;
	return 0;
}

static uint64_t *page_of(char *memory, size_t page)
{
	return (uint64_t *)(memory + page * PAGE);
}

static void check_pages(char *memory, uint64_t seed)
{
	for (size_t page = 0; page < PAGES; page++)
		must(*page_of(memory, page) == seed + page, "a page keeps what was written");
}

static void fork_and_write(char *memory, uint64_t seed)
{
	pid_t child = fork();
	int status;

	must(child >= 0, "fork");
	if (!child) {
		check_pages(memory, seed);
		mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
		for (size_t page = 0; page < PAGES; page++)
			*page_of(memory, page) = ~seed;
		_exit(0);
	}
	must(waitpid(child, &status, 0) == child && !status, "the child ends well");
}

static void *map_protect_fork_unmap(void *number)
{
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t seed = ((uint64_t)(uintptr_t)number << 32) + (round << 16);
		char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		must(memory != MAP_FAILED, "mmap");
		for (size_t page = 0; page < PAGES; page++)
			*page_of(memory, page) = seed + page;
		must(!mprotect(memory, PAGES / 2 * PAGE, PROT_READ), "mprotect");
		must(is_refused(page_of(memory, round)), "a page is protected");
		must(!is_refused(page_of(memory, PAGES - 1)), "its neighbour is not");
		*page_of(memory, PAGES - 1) = seed + PAGES - 1;
		fork_and_write(memory, seed);
		check_pages(memory, seed);
		must(!munmap(memory, PAGES * PAGE), "munmap");
	}
	return NULL;
}

static void run_threads(void)
{
	struct sigaction action = { .sa_handler = on_refusal, .sa_flags = SA_NODEFER };
	pthread_t threads[THREADS];

	sigaction(SIGSEGV, &action, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, map_protect_fork_unmap, (void *)(i + 1)),
		     "pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("threads: %d rounds each are right\n", ROUNDS);
}

/* Arithmetic: the results, and a sum over all their bits. */

static uint64_t mix(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3;
	return sum;
}

static void run_long_double(void)
{
	volatile long double x = 2;
	uint64_t sum = 0;

	printf("sqrt %.21Lg\nlog %.21Lg\nsin %.21Lg\nexp %.21Lg\nthird %.21Lg\nlarge %.21Lg\n",
	       sqrtl(x), logl(x), sinl(x), expl(x), x / 3, powl(x, 10000));
	for (int i = 1; i < 2000; i++) {
		x = atan2l(x + i, i) * sqrtl(i) + fmodl(x * 1e9L, i);
		sum = mix(sum, (const void *)&x, 10);
	}
	printf("long double: sum %016lx\n", sum);
}

static void run_sse(void)
{
	__m128d doubles = _mm_set_pd(1.5, 0.25);
	__m128 floats = _mm_set_ps(1, 2, 3, 4);
	__m128i words = _mm_set_epi32(1, 2, 3, 4);
	uint64_t sum = 0;

	for (int i = 1; i < 5000; i++) {
		doubles = _mm_sqrt_pd(_mm_add_pd(_mm_mul_pd(doubles, doubles), _mm_set1_pd(i)));
		floats = _mm_div_ps(_mm_add_ps(floats, _mm_set1_ps(i)),
				    _mm_shuffle_ps(floats, floats, 0x1b));
		words = _mm_add_epi16(_mm_madd_epi16(words, _mm_set1_epi16(i)),
				      _mm_cvttpd_epi32(doubles));
		words = _mm_xor_si128(_mm_shuffle_epi32(words, 0x39), _mm_castps_si128(floats));
		sum = mix(mix(sum, &doubles, 16), &words, 16);
	}
	printf("sse: sum %016lx\n", sum);
}

__attribute__((target("avx"))) static void run_avx_itself(void)
{
	__m256d doubles = _mm256_set_pd(1.5, 0.25, 7, 11);
	uint64_t sum = 0;

	for (int i = 1; i < 5000; i++) {
		doubles = _mm256_add_pd(_mm256_mul_pd(doubles, doubles), _mm256_set1_pd(i));
		doubles = _mm256_sqrt_pd(_mm256_permute2f128_pd(doubles, doubles, 1));
		sum = mix(sum, &doubles, 32);
	}
	printf("avx: sum %016lx\n", sum);
}

static void run_avx(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx"))
		run_avx_itself();
	else
		printf("avx: absent\n");
}

/*
 * Memory that changes until SIGTERM, for a machine that is moved meanwhile: every word of the
 * busy pages is a function of its place and the round, the others' of their place.
 */

enum { BUSY = 4 << 20, QUIET = 24 << 20 };

static volatile sig_atomic_t stopped;

static void on_stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t word_of(uint64_t place, uint64_t round)
{
	return (place * 0x9e3779b97f4a7c15 ^ round) * 0xbf58476d1ce4e5b9;
}

static uint64_t *fill(size_t size)
{
	uint64_t *words = malloc(size);

	for (size_t i = 0; i < size / 8; i++)
		words[i] = word_of(i, 0);
	return words;
}

static void check(const uint64_t *words, size_t size, uint64_t round)
{
	for (size_t i = 0; i < size / 8; i++)
		must(words[i] == word_of(i, round), "memory keeps what was written");
}

static void run_churn(void)
{
	uint64_t *busy = fill(BUSY), *quiet = fill(QUIET), round = 0;

	signal(SIGTERM, on_stop);
	printf("churn: going\n");
	fflush(stdout);
	for (; !stopped; round++) {
		for (size_t i = 0; i < BUSY / 8; i++) {
			must(busy[i] == word_of(i, round), "memory keeps what was written");
			busy[i] = word_of(i, round + 1);
		}
		usleep(1000);
	}
	check(busy, BUSY, round);
	check(quiet, QUIET, 0);
	printf("churn: all is right after %s\n", round ? "some rounds" : "no round");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} programs[] = {
		{ "threads", run_threads }, { "long-double", run_long_double },
		{ "sse", run_sse },	    { "avx", run_avx },
		{ "churn", run_churn },
	};

	for (size_t i = 0; argc == 2 && i < sizeof(programs) / sizeof(programs[0]); i++)
		if (!strcmp(argv[1], programs[i].name)) {
			programs[i].run();
			return 0;
		}
	fprintf(stderr, "usage: guest threads|long-double|sse|avx|churn\n");
	return 2;
}
