/* SPDX-License-Identifier: MIT
 *
 * test_foreign.c - libraries that people will call from fibers, on the default
 * stack: stdio at its hungriest, OpenSSL, SQLite. Each is asked for the deepest
 * that an ordinary program asks of it.
 */
#include "support.h"

#ifdef HAVE_OPENSSL
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#endif
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif

/* --- a fiber with the default stack -------------------------------------- */

static const char *failed; /* what was not so: fibers don't assert */

static void need(bool ok, const char *what)
{
    if (!ok && !failed)
        failed = what;
}

#define NEED(what) need((what), #what)

static void run_on_default_stack(int (*body)(void *))
{
    krait_run_options o = {.workers = 1};

    failed = NULL;
    assert_works(krait_run(body, NULL, &o));
    if (failed)
        fail_msg("not so: %s", failed);
}

/* --- stdio --------------------------------------------------------------- */

static int print_much(void *unused)
{
    size_t size = 400000;
    char *text = malloc(size);

    (void)unused;
    NEED(text != NULL);
    if (!text)
        return 0;
    /* glibc's printf of a long double keeps its digits on the stack. */
    NEED(snprintf(text, size, "%.300000Lf", 1.0L / 3) == 300002);
    NEED(snprintf(text, size, "%.60000f|%100000d", 1e300, 7) > 100000);
    free(text);
    return 0;
}

static void test_printf(void **state)
{
    (void)state;
    run_on_default_stack(print_much);
}

/* --- OpenSSL ------------------------------------------------------------- */

#ifdef HAVE_OPENSSL

static X509 *self_signed(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"krait", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    NEED(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

/* Two ends in one fiber, over memory. */
static void shake_hands(SSL *client, SSL *server)
{
    BIO *one, *other;
    int turns = 0;
    char got[8] = "";

    NEED(BIO_new_bio_pair(&one, 0, &other, 0) == 1);
    SSL_set_bio(client, one, one);
    SSL_set_bio(server, other, other);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    while (!(SSL_is_init_finished(client) && SSL_is_init_finished(server)) &&
           turns++ < 20) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    NEED(SSL_is_init_finished(client) && SSL_is_init_finished(server));
    NEED(SSL_write(client, "hello", 5) == 5);
    NEED(SSL_read(server, got, sizeof got) == 5);
    NEED(memcmp(got, "hello", 5) == 0);
}

static int use_openssl(void *unused)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    X509 *cert = self_signed(key);
    SSL *client, *server;

    (void)unused;
    NEED(SSL_CTX_use_certificate(ctx, cert) == 1);
    NEED(SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    client = SSL_new(ctx);
    server = SSL_new(ctx);
    SSL_set_verify(server, SSL_VERIFY_NONE, NULL);
    shake_hands(client, server);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

#endif

static void test_openssl_makes_a_key_and_shakes_hands(void **state)
{
    (void)state;
#ifdef HAVE_OPENSSL
    run_on_default_stack(use_openssl);
#else
    skip_because("OpenSSL's headers are not installed");
#endif
}

/* --- SQLite -------------------------------------------------------------- */

#ifdef HAVE_SQLITE

static int use_sqlite(void *unused)
{
    static const char *const statements[] = {
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b REAL)",
        "CREATE INDEX i ON t(a, b)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 5000) INSERT INTO t SELECT i, printf('%08d', i * 7919 % "
        "5000), i / 3.0 FROM n",
        "CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE t SET b = b + 1 "
        "WHERE id = NEW.id + 1; END",
        "UPDATE t SET a = a || 'x' WHERE a LIKE '%00%'",
        "SELECT x.a, count(*), group_concat(y.b) FROM t x JOIN t y ON y.id = "
        "x.id % 97 + 1 WHERE x.id IN (SELECT id FROM t WHERE b > 10 ORDER BY "
        "a DESC LIMIT 500) GROUP BY x.a HAVING count(*) > 0 ORDER BY 2, 1",
        "VACUUM",
    };
    sqlite3 *db = NULL;

    (void)unused;
    NEED(sqlite3_open(":memory:", &db) == SQLITE_OK);
    for (size_t i = 0; i < COUNT(statements); i++)
        if (sqlite3_exec(db, statements[i], NULL, NULL, NULL) != SQLITE_OK)
            need(false, statements[i]);
    sqlite3_close(db);
    return 0;
}

#endif

static void test_sqlite_sorts_joins_and_recurses(void **state)
{
    (void)state;
#ifdef HAVE_SQLITE
    run_on_default_stack(use_sqlite);
#else
    skip_because("SQLite's headers are not installed");
#endif
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_printf), ONCE},
        {TEST(test_openssl_makes_a_key_and_shakes_hands), ONCE},
        {TEST(test_sqlite_sorts_joins_and_recurses), ONCE},
    };

    return run_all(argc, argv, "foreign", tests, COUNT(tests));
}
