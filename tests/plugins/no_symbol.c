/* A shared object that is no plugin. */
__attribute__((visibility("default"))) int rt_plugin_entrance(void);

int rt_plugin_entrance(void)
{
    return 0;
}
